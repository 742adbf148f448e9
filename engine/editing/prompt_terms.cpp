#include "editing/prompt_terms.h"

#include "core/error.h"
#include "text/weighted_prompt.h"

namespace glyphscope {

PromptTerms find_terms(const TermList& list, const std::string& prompt) {
  PromptTerms out{WeightedPrompt::parse(prompt).text(), {}};
  out.found = list.find(out.text);
  return out;
}

std::string cleared_prompt(const TermList& list, const std::string& prompt) {
  WeightedPrompt weighted = WeightedPrompt::parse(prompt);
  constexpr int kMostTimes = 8;
  for (int i = 0; i < kMostTimes; ++i) {
    const std::string text = weighted.text();
    const auto found = list.find(text);
    if (found.empty()) return i == 0 ? prompt : weighted.prompt();
    std::vector<WeightedPrompt::Piece> pieces;
    const auto add = [&](const std::string& part, double weight) {
      if (pieces.empty() || pieces.back().weight != weight) pieces.push_back({"", weight});
      pieces.back().text += part;
    };
    size_t at = 0;
    for (const auto& match : found) {
      for (; at < match.begin; ++at) add(text.substr(at, 1), weighted.weight_at(at));
      add(list.replacement(text, match), weighted.weight_at(match.begin));
      at = match.end;
    }
    for (; at < text.size(); ++at) add(text.substr(at, 1), weighted.weight_at(at));
    weighted = WeightedPrompt(std::move(pieces));
  }
  reject("the prompt cannot be cleared of listed terms", prompt, "What takes a term's place makes up another");
}

}  // namespace glyphscope
