#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>

namespace glyphscope {

/// Where the text is that a prompt wants written: its first byte between the first pair of double quotes (straight or curly), and the first after it. None:
/// there is no such pair.
std::optional<std::pair<size_t, size_t>> quoted_range(const std::string& prompt);

}  // namespace glyphscope
