#pragma once

#include <memory>

#include "pipelines/model_folder.h"
#include "pipelines/pipeline.h"

namespace glyphscope {

/// Stable Diffusion 1.x and 2.x: CLIP text encoder, latent U-Net, KL autoencoder. Source: diffusers `StableDiffusionPipeline`.
/// Throws a Failure.
std::shared_ptr<Pipeline> open_stable_diffusion(const ModelFolder& folder, const OpenOptions& options);

}  // namespace glyphscope
