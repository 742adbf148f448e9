#pragma once

#include <string>
#include <vector>

namespace glyphscope {

/// Takes a text apart at special tokens, which are found as they stand before any word is split: calls between(piece) for what
/// lies before, between and after them, and found(token) for each, leftmost first and the longest where several begin.
template <class Between, class Found>
void split_at(const std::string& text, const std::vector<std::string>& tokens, const Between& between, const Found& found) {
  size_t at = 0;
  while (at < text.size()) {
    size_t first = std::string::npos;
    const std::string* token = nullptr;
    for (const auto& candidate : tokens) {
      const size_t place = text.find(candidate, at);
      if (place != std::string::npos && (place < first || (place == first && candidate.size() > token->size()))) first = place, token = &candidate;
    }
    between(text.substr(at, token ? first - at : std::string::npos));
    if (!token) return;
    found(*token);
    at = first + token->size();
  }
}

}  // namespace glyphscope
