#include "adapt/adapters.h"

#include <charconv>
#include <cmath>
#include <map>
#include <sstream>

#include "adapt/lora_file.h"
#include "core/error.h"
#include "core/option.h"
#include "io/weights.h"
#include "patching/patch_plan.h"
#include "pipelines/adaptable_encoder.h"

namespace glyphscope {
namespace fs = std::filesystem;
namespace {

struct Named {
  std::string file;
  double strength = 1;
  std::map<int, double> sites;  // of single sites, in place of it
};

double parse_strength(const std::string& text) {
  double out = 0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, out);
  if (read.ec != std::errc() || read.ptr != end || !(std::abs(out) <= 100))
    reject("'" + text + "' is no strength", option(Option::adapter),
           "Write FILE or FILE:STRENGTH, for example style.safetensors:0.8, and of single sites style.safetensors:0.8,5=0.3,7-9=0");
  return out;
}

// "style.safetensors:0.8", "style.safetensors:5=0.3,7-9=0". A colon may be part of a file's name.
Named parse(const std::string& text, const SiteTable& table) {
  std::error_code error;
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || fs::exists(text, error)) return {text};
  Named out{text.substr(0, colon)};
  std::istringstream items(text.substr(colon + 1));
  std::string item;
  while (std::getline(items, item, ',')) {
    const size_t equal = item.find('=');
    if (equal == std::string::npos)
      out.strength = parse_strength(item);
    else
      for (const int site : parse_sites(item.substr(0, equal), table)) out.sites[site] = parse_strength(item.substr(equal + 1));
  }
  if (text.ends_with(':')) parse_strength("");
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

AdapterTarget adapter_target(Pipeline& pipeline, const std::string& file) {
  AdapterTarget out{pipeline.denoiser_module(), pipeline.info().table};
  const auto encoders = pipeline.text_encoders();
  for (AdaptableEncoder* encoder : encoders) out.encoders.push_back({encoder->component(), encoder->is_t5()});
  const auto changed = encoders_in(file, out);
  for (size_t i = 0; i < encoders.size(); ++i)
    if (changed.contains(out.encoders[i].component)) out.encoders[i].module = &encoders[i]->network();
  return out;
}

AttachedAdapter::AttachedAdapter(Pipeline& pipeline, const Adapter& adapter, double strength)
    : denoiser_(pipeline.denoiser_module(), adapter.denoiser, strength) {
  for (AdaptableEncoder* encoder : pipeline.text_encoders()) {
    const auto own = adapter.encoders.find(encoder->component());
    if (own == adapter.encoders.end()) continue;
    try {
      encoder->set_attached({[lora = &own->second, strength](torch::nn::Module& network) -> std::shared_ptr<void> {
        return std::make_shared<AttachedLora>(network, *lora, strength);
      }});
    } catch (...) {
      detach();  // from those before: an object that is not finished would leave them pointing to it
      throw;
    }
    encoders_.push_back(encoder);
  }
}

AttachedAdapter::~AttachedAdapter() { detach(); }

void AttachedAdapter::detach() {
  for (AdaptableEncoder* encoder : encoders_) encoder->set_attached({});
}

std::shared_ptr<Pipeline> attach_adapters(std::shared_ptr<Pipeline> pipeline, const std::vector<std::string>& adapters, std::vector<std::string>& notes) {
  auto holder = std::make_shared<Holder>();
  holder->pipeline = std::move(pipeline);
  torch::nn::Module& denoiser = holder->pipeline->denoiser_module();
  std::vector<AdapterInfo> infos;
  std::map<std::string, std::vector<AdaptableEncoder::Attach>> for_encoders;
  for (const auto& text : adapters) {
    const SiteTable& table = holder->pipeline->info().table;
    const Named named = parse(text, table);
    if (!fs::exists(named.file))
      reject("there is no such adapter", named.file, "Name a .safetensors file or an adapter's folder, with its strength after a colon if it is not 1");
    Adapter adapter = read_adapter(named.file, adapter_target(*holder->pipeline, named.file), notes);
    const Lora& lora = adapter.denoiser;
    if (const auto hash = lora.metadata.find("model_hash"); hash != lora.metadata.end() && hash->second != holder->pipeline->info().hash) {
      const auto model = lora.metadata.find("model");
      notes.push_back(named.file + " was trained on other weights than these" + (model == lora.metadata.end() ? "" : ": those of " + model->second));
    }
    about(named.file, [&] { return holder->attached.emplace_back(std::make_unique<AttachedLora>(denoiser, lora, named.strength)).get(); });
    std::map<std::string, double> strengths;
    for (const auto& [site, strength] : named.sites) strengths[table.sites[static_cast<size_t>(site)].path] = strength;
    holder->attached.back()->set_strengths(strengths);
    for (auto& [component, own] : adapter.encoders)
      for_encoders[component].push_back(
          [file = named.file, own = std::make_shared<const Lora>(std::move(own)), strength = named.strength](torch::nn::Module& network) {
            return about(file, [&] { return std::shared_ptr<void>(std::make_shared<AttachedLora>(network, *own, strength)); });
          });
    infos.push_back({named.file, adapter_hash(named.file), named.strength, named.sites});
  }
  for (AdaptableEncoder* encoder : holder->pipeline->text_encoders())
    if (const auto found = for_encoders.find(encoder->component()); found != for_encoders.end()) encoder->set_attached(std::move(found->second));
  holder->pipeline->note_adapters(std::move(infos));
  Pipeline* adapted = holder->pipeline.get();
  return {std::move(holder), adapted};
}

}  // namespace glyphscope
