#pragma once

#include <deque>
#include <functional>
#include <string>

#include "pipelines/family.h"

namespace glyphscope {

/// All families: one for each file in engine/families, by their names, and those that a program has added.
const std::deque<Family>& families();

/// Adds one for as long as the program runs: at its start, before a model is opened.
void add_family(Family family);

/// The family whose pipelines are of the model's class. Throws a Failure that lists what is supported.
const Family& family_of(const ModelFolder& model);

/// What people call the models of those families (or classes of models) of which `is` says so, for a sentence: "FLUX.1, Stable Diffusion 3 and 3.5".
std::string names_of_families(const std::function<bool(const Family& family, const Family::PipelineClass& one)>& is);

/// kohya's names of a denoiser's layers: those of the family that knows it. Empty where kohya has none.
KohyaPlaces kohya_places(const torch::nn::Module& denoiser, const SiteTable& table);

}  // namespace glyphscope
