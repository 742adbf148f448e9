#include "experiments/prompt_set.h"

#include <algorithm>
#include <map>

#include "core/error.h"
#include "core/option.h"
#include "core/quoted_text.h"
#include "core/unicode.h"
#include "io/text_file.h"
#include "text/weighted_prompt.h"

namespace glyphscope {

std::string fill_template(const std::string& prompt_template, const std::string& word) {
  const std::string slot = "<text>";
  const auto at = prompt_template.find(slot);
  if (at == std::string::npos)
    reject("the template has no <text> for the word to go: '" + prompt_template + "'", option(Option::template_text),
           "Write for example: a sign that says \"<text>\"");
  return prompt_template.substr(0, at) + word + prompt_template.substr(at + slot.size());
}

std::string quoted_text(const std::string& weighted) {
  const std::string prompt = WeightedPrompt::parse(weighted).text();
  const auto range = quoted_range(prompt);
  return range ? prompt.substr(range->first, range->second - range->first) : "";
}

std::string with_quoted_text(const std::string& prompt, const std::string& text) {
  const auto range = quoted_range(prompt);
  if (!range) reject("the prompt has no text in double quotes: '" + prompt + "'");
  return prompt.substr(0, range->first) + text + prompt.substr(range->second);
}

std::vector<PromptPair> make_pairs(const std::vector<std::string>& templates, const std::vector<std::string>& words, size_t count) {
  if (templates.empty()) reject("there is no template");
  if (words.size() < 2) reject("a word list needs at least two words", option(Option::words));
  std::vector<PromptPair> pairs;
  const size_t different = words.size() / 2;
  for (size_t i = 0; i < count; ++i) {
    const size_t round = i / different, at = i % different;
    const std::string &form = templates[(i + round) % templates.size()], &a = words[2 * at], &b = words[2 * at + 1];
    pairs.push_back({fill_template(form, a), fill_template(form, b), a, b});
  }
  return pairs;
}

std::vector<int> word_clusters(const std::vector<PromptPair>& pairs) {
  std::vector<size_t> joined(pairs.size());  // to an earlier pair of the same cluster, or itself
  const auto first = [&](size_t pair) {
    while (joined[pair] != pair) pair = joined[pair];
    return pair;
  };
  std::map<std::string, size_t> seen;
  for (size_t pair = 0; pair < pairs.size(); ++pair) {
    joined[pair] = pair;
    for (const auto* text : {&pairs[pair].source_text, &pairs[pair].target_text}) {
      const size_t other = first(seen.emplace(fold_case(*text), pair).first->second), own = first(pair);
      joined[std::max(own, other)] = std::min(own, other);
    }
  }
  std::map<size_t, int> numbers;
  std::vector<int> out;
  for (size_t pair = 0; pair < pairs.size(); ++pair) out.push_back(numbers.emplace(first(pair), static_cast<int>(numbers.size())).first->second);
  return out;
}

namespace {

// The text that a file's prompt wants written; what is wrong with it is wrong there.
std::string text_at(const std::string& prompt, const std::string& where) {
  try {
    return quoted_text(prompt);
  } catch (const Failure& failure) {
    Error error = failure.error();
    error.where = where;
    throw Failure(error);
  }
}

}  // namespace

std::vector<std::string> read_prompts(const std::filesystem::path& file, bool with_text) {
  std::vector<std::string> out;
  size_t number = 0;
  for (const std::string& line : read_lines(file)) {
    ++number;
    const auto first = line.find_first_not_of(" \t"), last = line.find_last_not_of(" \t");
    if (first == std::string::npos || line[first] == '#') continue;
    out.push_back(line.substr(first, last - first + 1));
    const std::string where = file.string() + ", line " + std::to_string(number);
    if (text_at(out.back(), where).empty() && with_text) reject("the prompt has no text in double quotes", where, "The quoted text is what OCR should find");
  }
  if (out.empty()) reject("there is no prompt in it", file.string(), "Write one a line");
  return out;
}

std::vector<PromptPair> read_pairs(const std::filesystem::path& file) {
  std::vector<PromptPair> pairs;
  size_t number = 0;
  for (const std::string& line : read_lines(file)) {
    ++number;
    if (line.empty() || line[0] == '#') continue;
    const std::string where = file.string() + ", line " + std::to_string(number);
    const auto tab = line.find('\t');
    if (tab == std::string::npos) reject("there is no tab between two prompts", where, "Write prompt A, a tab, prompt B");
    if (line.find('\t', tab + 1) != std::string::npos) reject("there are more than two prompts", where, "Write prompt A, a tab, prompt B");
    PromptPair pair{line.substr(0, tab), line.substr(tab + 1), "", ""};
    pair.source_text = text_at(pair.source, where);
    pair.target_text = text_at(pair.target, where);
    if (pair.source_text.empty() || pair.target_text.empty()) reject("a prompt has no text in double quotes", where, "The quoted text is what OCR should find");
    pairs.push_back(std::move(pair));
  }
  if (pairs.empty()) reject("there is no pair of prompts", file.string());
  return pairs;
}

}  // namespace glyphscope
