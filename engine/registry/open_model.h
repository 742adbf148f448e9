#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "pipelines/model_folder.h"
#include "pipelines/pipeline.h"

namespace glyphscope {

/// Opens a diffusers folder, a checkpoint in a single file (.safetensors), or a demo model that ships with Glyphscope ("demo:NAME"). The error names
/// what is missing.
Expected<std::shared_ptr<Pipeline>> open_model(const std::string& source, const OpenOptions& options = {});

/// Where such a source is. Throws a Failure if it is no model.
ModelFolder find_model(const std::string& source, const OpenOptions& options = {});
/// The same of the upscaler that the options name. Throws a Failure if it enlarges nothing.
ModelFolder find_upscaler(const OpenOptions& options);

/// How all families' checkpoints in a single file are laid out.
std::vector<SingleFileLayout> single_file_layouts();

}  // namespace glyphscope
