#include "registry/model_needs.h"

#include <torch/types.h>

#include <set>

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
    const auto config = attempt([&] { return Config::read(model / file); });
    if (!config) {
      out.missing.push_back(config.error().message());
      continue;
    }
    ComponentSize component{.name = name};
    for (const auto& [key, entry] : weights->entries()) component.parameters += c10::multiply_integers(entry.shape);
    component.reads_prompts = config->text("model_type", "") == "t5";
    component.wide = component.reads_prompts || family.is_wide(model, name, *config);
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
