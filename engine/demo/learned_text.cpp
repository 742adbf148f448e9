#include "demo/learned_text.h"

#include <algorithm>
#include <cctype>

namespace glyphscope {

std::string note_on_learned(const LearnedText& learned, const std::vector<std::string>& texts) {
  for (const auto& text : texts) {
    const bool letters = std::all_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x80 && std::isalpha(c); });
    const auto count = static_cast<int>(text.size());
    if (text.empty() || (letters && count >= learned.shortest && count <= learned.longest)) continue;
    return "the model learned to write one word of " + std::to_string(learned.shortest) + " to " + std::to_string(learned.longest) +
           " letters, A to Z: " + "\"" + text + "\"" + " will not come out well";
  }
  return {};
}

}  // namespace glyphscope
