#pragma once

#include <vector>

#include "pipelines/pipeline.h"

namespace glyphscope {

/// The smallest set of sites that writes the text, or those that are localized if there is no such set, by the localization that ships with Glyphscope; empty
/// if there is none of just this model.
std::vector<int> studied_sites(const ModelInfo& model);

}  // namespace glyphscope
