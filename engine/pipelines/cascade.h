#pragma once

#include <memory>

#include "pipelines/pipeline.h"

namespace glyphscope {

/// A first stage that draws and a second that enlarges what it drew, as one model. Its sites are the first's. The second reads each row's own
/// prompt, unpatched, and takes its noise from the row's seed, so that pictures of one seed differ by what the first drew (the paper's protocol for
/// DeepFloyd IF). Throws a Failure if they do not fit each other.
std::shared_ptr<Pipeline> make_cascade(std::shared_ptr<Pipeline> first, std::shared_ptr<Pipeline> second);

}  // namespace glyphscope
