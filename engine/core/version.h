#pragma once

#include <string>

namespace glyphscope {

/// This program's version.
std::string version();
/// LibTorch's version.
std::string torch_version();

}  // namespace glyphscope
