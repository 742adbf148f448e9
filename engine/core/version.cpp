#include "core/version.h"

#include <torch/version.h>

namespace glyphscope {

std::string version() { return GLYPHSCOPE_VERSION; }
std::string torch_version() { return TORCH_VERSION; }

}  // namespace glyphscope
