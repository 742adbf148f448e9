#pragma once

#include <memory>

#include "pipelines/model_folder.h"
#include "pipelines/pipeline.h"

namespace glyphscope {

/// Stable Diffusion 1.x, 2.x and XL: CLIP text encoders, latent U-Net, KL autoencoder. Source: diffusers
/// `StableDiffusionPipeline` and `StableDiffusionXLPipeline`. The XL refiner opens too, and draws from noise like the base.
/// Throws a Failure.
std::shared_ptr<Pipeline> open_stable_diffusion(const ModelFolder& folder, const OpenOptions& options);

}  // namespace glyphscope
