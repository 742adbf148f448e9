#include "adapt/adapters.h"

#include <charconv>
#include <cmath>

#include "adapt/lora_file.h"
#include "core/error.h"
#include "core/option.h"
#include "io/weights.h"

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
  ~Holder() { pipeline->note_adapters({}); }
};

}  // namespace

std::shared_ptr<Pipeline> attach_adapters(std::shared_ptr<Pipeline> pipeline, const std::vector<std::string>& adapters, std::vector<std::string>& notes) {
  auto holder = std::make_shared<Holder>();
  holder->pipeline = std::move(pipeline);
  torch::nn::Module& denoiser = holder->pipeline->denoiser_module();
  std::vector<AdapterInfo> infos;
  for (const auto& text : adapters) {
    const Named named = parse(text);
    if (!fs::exists(named.file)) reject("there is no such adapter", named.file, "Name a .safetensors file, with its strength after a colon if it is not 1");
    const Lora lora = read_lora(named.file, denoiser, holder->pipeline->info().table, notes);
    if (const auto hash = lora.metadata.find("model_hash"); hash != lora.metadata.end() && hash->second != holder->pipeline->info().hash) {
      const auto model = lora.metadata.find("model");
      notes.push_back(named.file + " was trained on other weights than these" + (model == lora.metadata.end() ? "" : ": those of " + model->second));
    }
    try {
      holder->attached.push_back(std::make_unique<AttachedLora>(denoiser, lora, named.strength));
    } catch (const Failure& failure) {
      Error error = failure.error();
      if (error.where.empty()) error.where = named.file;
      throw Failure(error);
    }
    infos.push_back({named.file, sha256_file(named.file), named.strength});
  }
  holder->pipeline->note_adapters(std::move(infos));
  Pipeline* adapted = holder->pipeline.get();
  return {std::move(holder), adapted};
}

}  // namespace glyphscope
