#include "registry/model_needs.h"

#include <torch/types.h>

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "core/error.h"
#include "io/weights.h"
#include "registry/families.h"
#include "registry/open_model.h"

namespace glyphscope {
namespace fs = std::filesystem;

void ModelNeeds::require(const std::string& source) const {
  if (missing.empty()) return;
  std::string what = "the model is incomplete:";
  for (const auto& line : missing) what += "\n  " + line;
  reject(what + "\n", source);
}

namespace {

// Of a denoiser's or an encoder's keys, the part that names the block which holds the tensor; empty: none does.
std::string block_of(const std::string& key) {
  static const std::set<std::string> lists{
      "transformer_blocks", "single_transformer_blocks", "resnets", "attentions", "downsamplers", "upsamplers", "block", "layers", "noise_refiner",
      "context_refiner"};
  std::string out;
  for (size_t begin = 0, dot = 0; (dot = key.find('.', begin)) != std::string::npos; begin = dot + 1) {
    if (!lists.contains(key.substr(begin, dot - begin))) continue;
    out = key.substr(0, key.find('.', dot + 1));
    dot = std::min(out.size(), key.size() - 1);
  }
  return out;
}

// Layers keep matrices and kernels quantized, and load what is smaller as numbers.
void add(WeightSize& size, const Weights::Entry& entry) {
  size.add(c10::multiply_integers(entry.shape), entry.shape.size() > 1 ? entry.type : std::nullopt, entry.bytes);
}

// Counts what BlockStream can take of a component, without making its network; a test holds this against the networks.
void count_blocks(ComponentSize& component, const std::map<std::string, Weights::Entry>& entries) {
  std::map<std::string, WeightSize> sizes;
  for (const auto& [key, entry] : entries)
    if (const std::string block = block_of(key); !block.empty()) add(sizes[block], entry);
  for (const auto& [block, size] : sizes) {
    const auto below = sizes.upper_bound(block + ".");
    const bool holds_blocks = below != sizes.end() && below->first.starts_with(block + ".");
    const bool only_resamples = entries.contains(block + ".conv.weight");
    if (holds_blocks || only_resamples || block == "encoder.block.0") continue;  // of the last, the bias by distance is read from outside
    component.block_parameters.add(size);
    const auto bytes = [](const WeightSize& one) { return one.bytes(torch::kBFloat16, torch::kCPU); };
    if (bytes(size) > bytes(component.largest_block)) component.largest_block = size;
  }
}

}  // namespace

ModelNeeds model_needs(const ModelFolder& model, bool without_text) {
  // What pipelines may list and Glyphscope does without.
  static const std::set<std::string> unused = {"safety_checker", "feature_extractor", "image_encoder", "watermarker"};
  const Family& family = family_of(model);
  ModelNeeds out;
  for (const auto& item : model.index().json().items()) {
    const std::string& name = item.key();
    if (unused.contains(name) || !model.has(name)) continue;
    // An encoder without a tokenizer, as T5 of a single file, is not used either.
    if (name.starts_with("text_encoder") && !model.has("tokenizer" + name.substr(12))) continue;
    if (without_text && (name.starts_with("text_encoder") || name.starts_with("tokenizer"))) continue;
    const bool tokenizer = name.starts_with("tokenizer"), scheduler = name.find("scheduler") != std::string::npos;
    const std::string file = name + (tokenizer ? "" : scheduler ? "/scheduler_config.json" : "/config.json");
    if (!fs::exists(model / file)) {
      out.missing.push_back(file + " is missing");
      continue;
    }
    if (tokenizer || scheduler) continue;
    const auto weights = attempt([&] { return model.weights(name); });
    if (!weights) {
      out.missing.push_back(weights.error().message());
      continue;
    }
    const auto config = attempt([&] { return model.config(name); });
    if (!config) {
      out.missing.push_back(config.error().message());
      continue;
    }
    ComponentSize component{.name = name};
    std::map<std::string, Weights::Entry> used;
    for (const auto& [key, entry] : weights->entries()) {
      // A whole T5 or CLIP's other half is not loaded.
      if (name.starts_with("text_encoder") && (key.starts_with("decoder.") || key.starts_with("lm_head.") || key.starts_with("vision_model."))) continue;
      add(component.parameters, entry);
      used[key] = entry;
    }
    const auto& named = item.value();  // [library, class]
    const bool t5 = config->text("model_type", "") == "t5" || (named.is_array() && named.size() == 2 && named[1] == "T5EncoderModel");
    component.reads_prompts = name.starts_with("text_encoder");
    component.wide = t5 || family.is_wide(model, name, *config);
    if (component.reads_prompts || name == "unet" || name == "transformer") count_blocks(component, used);
    out.components.push_back(component);
  }
  return out;
}

Expected<ModelNeeds> model_needs(const std::string& source, const OpenOptions& options) {
  return attempt([&] {
    const ModelFolder model = find_model(source, options);
    ModelNeeds out = model_needs(model);
    if (options.upscaler.empty()) return out;
    // Stages of one family read prompts by the same encoder: the second takes the first's, if it has none or the same.
    const ModelFolder upscaler = find_upscaler(options);
    const ModelNeeds second = model_needs(upscaler, /*without_text=*/&family_of(model) == &family_of(upscaler));
    for (auto one : second.components) {
      one.name = "upscaler's " + one.name;
      out.components.push_back(std::move(one));
    }
    for (const auto& line : second.missing) out.missing.push_back("upscaler's " + line);
    return out;
  });
}

}  // namespace glyphscope
