#include "core/quoted_text.h"

namespace glyphscope {

std::optional<std::pair<size_t, size_t>> quoted_range(const std::string& prompt) {
  for (const auto& [open, close] : {std::pair<std::string, std::string>{"\"", "\""}, {"\u201c", "\u201d"}}) {
    const auto begin = prompt.find(open);
    if (begin == std::string::npos) continue;
    const auto end = prompt.find(close, begin + open.size());
    if (end != std::string::npos) return std::pair(begin + open.size(), end);
  }
  return std::nullopt;
}

}  // namespace glyphscope
