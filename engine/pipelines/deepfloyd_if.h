#pragma once

#include <memory>

#include "pipelines/model_folder.h"
#include "pipelines/pipeline.h"

namespace glyphscope {

/// DeepFloyd IF's first or second stage: T5 encoder, pixel U-Net with added K and V, learned variance. Source: diffusers `IFPipeline` and
/// `IFSuperResolutionPipeline` without caption cleaning: prompts are lower-cased and stripped. Images are as small as the first stage draws them (64
/// pixels for the published models). `first`: the first stage that a second goes with, or null; they share one T5 where the second has none or the
/// same. Throws a Failure.
std::shared_ptr<Pipeline> open_deepfloyd_if(const ModelFolder& folder, const OpenOptions& options, const Pipeline* first = nullptr);

}  // namespace glyphscope
