#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace glyphscope {

/// Two prompts that differ in the text they ask for.
struct PromptPair {
  std::string source, target;            ///< Prompts A and B.
  std::string source_text, target_text;  ///< What each wants written.
};

/// Puts a word into a template's "<text>". Throws a Failure if the template has none.
std::string fill_template(const std::string& prompt_template, const std::string& word);

/// The text a prompt wants written: what stands between its first pair of double quotes (straight or curly), "" if none.
std::string quoted_text(const std::string& prompt);
/// The prompt with another text between these quotes. Throws a Failure if it has none.
std::string with_quoted_text(const std::string& prompt, const std::string& text);

/// `count` pairs: the i-th word against the word after it, in the i-th template; both lists wrap around. Throws a Failure
/// for fewer than two words, or no template.
std::vector<PromptPair> make_pairs(const std::vector<std::string>& templates, const std::vector<std::string>& words, size_t count);

/// Pairs of a file: a line each, prompt A, a tab, prompt B, each with its text in double quotes. Empty lines and lines
/// that start with # are left out. Throws a Failure that names the line.
std::vector<PromptPair> read_pairs(const std::filesystem::path& file);

}  // namespace glyphscope
