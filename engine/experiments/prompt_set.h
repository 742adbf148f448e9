#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace glyphscope {

/// Two prompts that differ in the text they ask for.
struct PromptPair {
  std::string source, target;            ///< Prompts A and B.
  std::string source_text, target_text;  ///< What each wants written.
  std::string attribute;                 ///< What else they differ by, in place of the text: see sign_attributes.h. Empty: the text.
};

/// Puts a word into a template's "<text>". Throws a Failure if the template has none.
std::string fill_template(const std::string& prompt_template, const std::string& word);

/// The text a prompt wants written: what stands between its first pair of double quotes (straight or curly), "" if none.
std::string quoted_text(const std::string& prompt);
/// The prompt with another text between these quotes. Throws a Failure if it has none.
std::string with_quoted_text(const std::string& prompt, const std::string& text);

/// `count` pairs, no two of which share a word: the first word against the second, the third against the fourth, and so on, in the i-th template. Where
/// there are more pairs than the words are enough for, they come again in other templates. Throws a Failure for fewer than two words, or no template.
std::vector<PromptPair> make_pairs(const std::vector<std::string>& templates, const std::vector<std::string>& words, size_t count);

/// Which pairs depend on each other as they share a text, directly or by other pairs: the number of each one's cluster, from 0 in the order in which
/// clusters are met. What is resampled are clusters.
std::vector<int> word_clusters(const std::vector<PromptPair>& pairs);

/// Prompts of a file, one a line; empty lines and lines that start with # are left out. with_text: each must have a text in double quotes. Throws a
/// Failure that names file and line.
std::vector<std::string> read_prompts(const std::filesystem::path& file, bool with_text = false);

/// Pairs of a file: a line each, prompt A, a tab, prompt B, each with its text in double quotes. Empty lines and lines
/// that start with # are left out. Throws a Failure that names the line.
std::vector<PromptPair> read_pairs(const std::filesystem::path& file);

}  // namespace glyphscope
