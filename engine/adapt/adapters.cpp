#include "adapt/adapters.h"

#include <charconv>
#include <cmath>
#include <map>

#include "adapt/lora_file.h"
#include "core/error.h"
#include "core/option.h"
#include "io/weights.h"
#include "pipelines/adaptable_encoder.h"

namespace glyphscope {
namespace fs = std::filesystem;
namespace {

struct Named {
  std::string file;
  double strength = 1;
};

// "style.safetensors:0.8". A colon may be part of a file's name.
Named parse(const std::string& text) {
  std::error_code error;
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || fs::exists(text, error)) return {text};
  Named out{text.substr(0, colon)};
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data() + colon + 1, end, out.strength);
  if (read.ec != std::errc() || read.ptr != end || !(std::abs(out.strength) <= 100))
    reject("'" + text.substr(colon + 1) + "' is no strength", option(Option::adapter), "Write FILE or FILE:STRENGTH, for example style.safetensors:0.8");
  return out;
}

// What keeps the adapters attached; goes before the pipeline.
struct Holder {
  std::shared_ptr<Pipeline> pipeline;
  std::vector<std::unique_ptr<AttachedLora>> attached;
  ~Holder() {
    for (AdaptableEncoder* encoder : pipeline->text_encoders()) encoder->set_attached({});
    pipeline->note_adapters({});
  }
};

// An error about an adapter that does not say which, says so.
template <class F>
auto about(const std::string& file, const F& f) {
  try {
    return f();
  } catch (const Failure& failure) {
    Error error = failure.error();
    if (error.where.empty()) error.where = file;
    throw Failure(error);
  }
}

}  // namespace

std::shared_ptr<Pipeline> attach_adapters(std::shared_ptr<Pipeline> pipeline, const std::vector<std::string>& adapters, std::vector<std::string>& notes) {
  auto holder = std::make_shared<Holder>();
  holder->pipeline = std::move(pipeline);
  torch::nn::Module& denoiser = holder->pipeline->denoiser_module();
  std::vector<AdapterInfo> infos;
  std::map<std::string, std::vector<AdaptableEncoder::Attach>> for_encoders;
  for (const auto& text : adapters) {
    const Named named = parse(text);
    if (!fs::exists(named.file)) reject("there is no such adapter", named.file, "Name a .safetensors file or an adapter's folder, with its strength after a colon if it is not 1");
    AdapterTarget target{denoiser, holder->pipeline->info().table};
    // Encoders are loaded only if the file changes one.
    if (has_encoder_part(named.file))
      for (AdaptableEncoder* encoder : holder->pipeline->text_encoders()) target.encoders.push_back({encoder->component(), encoder->is_t5(), &encoder->network()});
    Adapter adapter = read_adapter(named.file, target, notes);
    const Lora& lora = adapter.denoiser;
    if (const auto hash = lora.metadata.find("model_hash"); hash != lora.metadata.end() && hash->second != holder->pipeline->info().hash) {
      const auto model = lora.metadata.find("model");
      notes.push_back(named.file + " was trained on other weights than these" + (model == lora.metadata.end() ? "" : ": those of " + model->second));
    }
    about(named.file, [&] { return holder->attached.emplace_back(std::make_unique<AttachedLora>(denoiser, lora, named.strength)).get(); });
    for (auto& [component, own] : adapter.encoders)
      for_encoders[component].push_back([file = named.file, own = std::make_shared<const Lora>(std::move(own)), strength = named.strength](torch::nn::Module& network) {
        return about(file, [&] { return std::shared_ptr<void>(std::make_shared<AttachedLora>(network, *own, strength)); });
      });
    infos.push_back({named.file, sha256_file(adapter_file(named.file)), named.strength});
  }
  for (AdaptableEncoder* encoder : holder->pipeline->text_encoders())
    if (const auto found = for_encoders.find(encoder->component()); found != for_encoders.end()) encoder->set_attached(std::move(found->second));
  holder->pipeline->note_adapters(std::move(infos));
  Pipeline* adapted = holder->pipeline.get();
  return {std::move(holder), adapted};
}

}  // namespace glyphscope
