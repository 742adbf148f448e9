#include "localization/prompt_set.h"

#include <sstream>

#include "core/error.h"
#include "io/files.h"
#include "text/weighted_prompt.h"

namespace glyphscope {

std::string fill_template(const std::string& prompt_template, const std::string& word) {
  const std::string slot = "<text>";
  const auto at = prompt_template.find(slot);
  if (at == std::string::npos)
    reject("the template has no <text> for the word to go: '" + prompt_template + "'", "--template", "Write for example: a sign that says \"<text>\"");
  return prompt_template.substr(0, at) + word + prompt_template.substr(at + slot.size());
}

std::string quoted_text(const std::string& weighted) {
  const std::string prompt = WeightedPrompt::parse(weighted).text();
  for (const auto& [open, close] : {std::pair<std::string, std::string>{"\"", "\""}, {"\u201c", "\u201d"}}) {
    const auto begin = prompt.find(open);
    if (begin == std::string::npos) continue;
    const auto end = prompt.find(close, begin + open.size());
    if (end != std::string::npos) return prompt.substr(begin + open.size(), end - begin - open.size());
  }
  return "";
}

std::string with_quoted_text(const std::string& prompt, const std::string& text) {
  for (const auto& [open, close] : {std::pair<std::string, std::string>{"\"", "\""}, {"\u201c", "\u201d"}}) {
    const auto begin = prompt.find(open);
    if (begin == std::string::npos) continue;
    const auto end = prompt.find(close, begin + open.size());
    if (end != std::string::npos) return prompt.substr(0, begin + open.size()) + text + prompt.substr(end);
  }
  reject("the prompt has no text in double quotes: '" + prompt + "'");
}

std::vector<PromptPair> make_pairs(const std::vector<std::string>& templates, const std::vector<std::string>& words, size_t count) {
  if (templates.empty()) reject("there is no template");
  if (words.size() < 2) reject("a word list needs at least two words", "--words");
  std::vector<PromptPair> pairs;
  for (size_t i = 0; i < count; ++i) {
    const std::string &form = templates[i % templates.size()], &a = words[i % words.size()], &b = words[(i + 1) % words.size()];
    pairs.push_back({fill_template(form, a), fill_template(form, b), a, b});
  }
  return pairs;
}

std::vector<PromptPair> read_pairs(const std::filesystem::path& file) {
  std::istringstream lines(read_text(file, 16u << 20));
  std::string line;
  std::vector<PromptPair> pairs;
  for (size_t number = 1; std::getline(lines, line); ++number) {
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty() || line[0] == '#') continue;
    const std::string where = file.string() + ", line " + std::to_string(number);
    const auto tab = line.find('\t');
    if (tab == std::string::npos) reject("there is no tab between two prompts", where, "Write prompt A, a tab, prompt B");
    PromptPair pair{line.substr(0, tab), line.substr(tab + 1), "", ""};
    pair.source_text = quoted_text(pair.source);
    pair.target_text = quoted_text(pair.target);
    if (pair.source_text.empty() || pair.target_text.empty()) reject("a prompt has no text in double quotes", where, "The quoted text is what OCR should find");
    pairs.push_back(std::move(pair));
  }
  if (pairs.empty()) reject("there is no pair of prompts", file.string());
  return pairs;
}

}  // namespace glyphscope
