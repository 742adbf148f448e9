#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "pipelines/kohya_names.h"
#include "pipelines/model_folder.h"
#include "pipelines/pipeline.h"
#include "pipelines/single_file.h"

namespace glyphscope {

/// What a family of models says of itself. How a model is sampled, and what it was trained to predict, is not said here: its own scheduler_config.json does.
/// engine/families/NAME.cpp defines one, as `Family family::NAME()`; nothing else names it: opening, needs,
/// single files, adapter names and the lists in errors come from here.
struct Family {
  struct PipelineClass {
    std::string name;       ///< Of diffusers, as model_index.json has it: "StableDiffusionPipeline".
    std::string models;     ///< What people call its models: "Stable Diffusion 1.x and 2.x".
    bool enlarges = false;  ///< They draw a picture larger: the second stage of a cascade. Of one family with the first, they may read prompts by its encoder.
    bool reads_pooled_prompt = false;        ///< Beside the prompt's tokens; whose it is can be chosen.
    bool projects_prompt_by_itself = false;  ///< A site has K and V projections for the prompt alone, beside those of the picture.
  };
  std::vector<PipelineClass> classes;

  /// Opens a model of these classes. first_stage: of a cascade whose second this one is; else null. Throws a Failure.
  std::function<std::shared_ptr<Pipeline>(const ModelFolder& model, const Opening& opening, const Pipeline* first_stage)> open;

  /// Its checkpoints in a single file.
  std::vector<SingleFileLayout> single_files = {};

  /// Whether a component computes in fp32 where the run is in fp16. config: its config.json.
  std::function<bool(const ModelFolder& model, const std::string& component, const Config& config)> is_wide = [](const auto&, const auto&, const auto&) {
    return false;
  };

  /// kohya's names of a denoiser's layers; empty for a denoiser of another family, and where kohya has none.
  std::function<KohyaPlaces(const torch::nn::Module& denoiser, const SiteTable& table)> kohya_places = [](const auto&, const auto&) { return KohyaPlaces(); };
};

}  // namespace glyphscope
