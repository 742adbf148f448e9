#pragma once

#include <deque>
#include <string>

#include "pipelines/family.h"

namespace glyphscope {

/// All families: one for each file in engine/families, by their names, and those that a program has added.
const std::deque<Family>& families();

/// Adds one for as long as the program runs: at its start, before a model is opened.
void add_family(Family family);

/// The family whose pipelines are of the model's class. Throws a Failure that lists what is supported.
const Family& family_of(const ModelFolder& model);

/// kohya's names of a denoiser's layers: those of the family that knows it. Empty where kohya has none (latent diffusion, DeepFloyd IF).
KohyaPlaces kohya_places(const torch::nn::Module& denoiser, const SiteTable& table);

}  // namespace glyphscope
