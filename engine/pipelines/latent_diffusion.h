#pragma once

#include <memory>

#include "pipelines/model_folder.h"
#include "pipelines/pipeline.h"

namespace glyphscope {

/// Latent diffusion text-to-image: its own BERT encoder, latent U-Net, KL or VQ autoencoder. Source: diffusers
/// `LDMTextToImagePipeline`. Throws a Failure.
std::shared_ptr<Pipeline> open_latent_diffusion(const ModelFolder& folder, const OpenOptions& options);

}  // namespace glyphscope
