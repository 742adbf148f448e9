#pragma once

#include <memory>

#include "pipelines/model_folder.h"
#include "pipelines/pipeline.h"

namespace glyphscope {

/// DeepFloyd IF's first or second stage: T5 encoder, pixel U-Net with added K and V, learned variance. Source: diffusers `IFPipeline` and
/// `IFSuperResolutionPipeline` without caption cleaning: prompts are lower-cased and stripped. Images are as small as the first stage draws them (64 pixels for
/// the published models). Throws a Failure.
std::shared_ptr<Pipeline> open_deepfloyd_if(const ModelFolder& folder, const OpenOptions& options);

}  // namespace glyphscope
