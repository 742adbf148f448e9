#pragma once

#include <string>

namespace glyphscope::cli {

/// A text of the engine, with its options as the command line has them.
std::string in_words(const std::string& text);

}  // namespace glyphscope::cli
