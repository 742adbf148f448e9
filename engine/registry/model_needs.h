#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "device/memory_plan.h"
#include "pipelines/model_folder.h"
#include "pipelines/pipeline.h"

namespace glyphscope {

/// What a model will take and what it lacks, as far as its files' headers tell: nothing is loaded.
struct ModelNeeds {
  std::vector<ComponentSize> components;  ///< Those that have weights and are used.
  std::vector<std::string> missing;       ///< A line for each file that should be there and is not, or cannot be read.

  /// Throws a Failure that lists what is missing of the model that the user calls so.
  void require(const std::string& source) const;
};

/// without_text: what reads prompts is not asked for (a second stage has the first's).
ModelNeeds model_needs(const ModelFolder& model, bool without_text = false);
/// The same of what open_model() opens. The error is that of a source that is no model.
Expected<ModelNeeds> model_needs(const std::string& source, const OpenOptions& options = {});

}  // namespace glyphscope
