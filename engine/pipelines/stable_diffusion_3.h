#pragma once

#include <memory>

#include "pipelines/model_folder.h"
#include "pipelines/pipeline.h"

namespace glyphscope {

/// Stable Diffusion 3 and 3.5: two CLIP encoders and T5, MM-DiT, 16-channel autoencoder, flow matching. Source: diffusers
/// `StableDiffusion3Pipeline`. An absent T5 reads as zeros, as in diffusers; so does an
/// absent CLIP, with a note. Throws a Failure.
std::shared_ptr<Pipeline> open_stable_diffusion_3(const ModelFolder& folder, const OpenOptions& options);

}  // namespace glyphscope
