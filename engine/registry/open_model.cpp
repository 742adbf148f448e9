#include "registry/open_model.h"

#include <limits>

#include "core/option.h"
#include "core/side_by_side.h"
#include "io/resources.h"
#include "pipelines/cascade.h"
#include "pipelines/original_keys.h"
#include "registry/families.h"
#include "registry/model_needs.h"

namespace glyphscope {
namespace fs = std::filesystem;

std::vector<SingleFileLayout> single_file_layouts() {
  std::vector<SingleFileLayout> out;
  for (const auto& family : families()) out.insert(out.end(), family.single_files.begin(), family.single_files.end());
  // A denoiser as diffusers names its keys, of whatever family the folder beside it is.
  out.push_back({.models = "a U-Net in diffusers' keys", .mark = "down_blocks.", .places = {{"unet", "", same_keys}}});
  out.push_back({.models = "a transformer in diffusers' keys", .mark = "transformer_blocks.", .places = {{"transformer", "", same_keys}}});
  return out;
}

ModelFolder find_model(const std::string& source, const OpenOptions& options) {
  fs::path folder = source;
  if (source.starts_with("demo:")) {
    std::string known;
    bool found = false;
    for (const auto& demo : demo_models()) {
      known += (known.empty() ? "" : ", ") + demo;
      found |= demo == source;
    }
    if (!found) reject("there is no demo model '" + source + "'", "", "There are: " + known);
    folder = resource(fs::path("models") / source.substr(5));
  }
  return {folder, source, single_file_layouts(), options.config};
}

namespace {

bool enlarges(const ModelFolder& model) {
  for (const auto& one : family_of(model).classes)
    if (one.name == model.pipeline_class()) return one.enlarges;
  return false;
}

}  // namespace

ModelFolder find_upscaler(const OpenOptions& options) {
  ModelFolder upscaler = find_model(options.upscaler);
  if (!enlarges(upscaler)) reject("this model does not enlarge pictures", options.upscaler, option(Option::upscale) + " names a super-resolution model");
  return upscaler;
}

namespace {

// whole: the plan of all stages.
std::shared_ptr<Pipeline> open_stage(const ModelFolder& model, const OpenOptions& options, const MemoryPlan& whole, const Pipeline* first) {
  Opening opening{whole, options.held_encoder_bytes, options.cancel};
  opening.plan.components = model_needs(model).components;
  // The host's memory is not planned: its system makes room.
  if (!whole.device.is_cpu()) opening.held_encoder_bytes = whole.keeps_encoders ? std::numeric_limits<std::int64_t>::max() : 0;
  return family_of(model).open(model, opening, first);
}

}  // namespace

Expected<std::shared_ptr<Pipeline>> open_model(const std::string& source, const OpenOptions& options) {
  settle_compute_threads();
  return attempt([&]() -> std::shared_ptr<Pipeline> {
    const ModelFolder model = find_model(source, options);
    if (options.upscaler.empty()) return open_stage(model, options, plan_memory(model_needs(model).components, options.place()), nullptr);
    const auto needs = model_needs(source, options);  // what is wrong with the second is an error now, not after the first is loaded
    if (!needs) throw Failure(needs.error());
    needs->require(source);
    const ModelFolder upscaler = find_upscaler(options);
    const MemoryPlan plan = plan_memory(needs->components, options.place());
    auto first = open_stage(model, options, plan, nullptr);
    auto second = open_stage(upscaler, options, plan, first.get());
    return make_cascade(std::move(first), std::move(second));
  });
}

}  // namespace glyphscope
