#pragma once

#include <memory>
#include <string>
#include <vector>

#include "pipelines/pipeline.h"

namespace glyphscope {

/// The same pipeline with adapters attached to its denoiser and text encoders, for as long as what is returned lives. Each is named as FILE,
/// FILE:STRENGTH or, by sites, FILE:0.8,5=0.3,7-9=0. Notes say what of the files is not used. Throws a Failure.
std::shared_ptr<Pipeline> attach_adapters(std::shared_ptr<Pipeline> pipeline, const std::vector<std::string>& adapters, std::vector<std::string>& notes);

}  // namespace glyphscope
