#pragma once

#include <memory>

#include "pipelines/model_folder.h"
#include "pipelines/pipeline.h"

namespace glyphscope {

/// FLUX.1: CLIP's pooled prompt, T5's tokens, a transformer of two kinds of joint attention, flow matching with a shift that
/// grows with the picture. Guidance is a number that the model reads; there is no negative prompt. Source: diffusers `FluxPipeline`. Throws
/// a Failure.
std::shared_ptr<Pipeline> open_flux(const ModelFolder& folder, const OpenOptions& options);

}  // namespace glyphscope
