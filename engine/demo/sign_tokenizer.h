#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace glyphscope {

/// The vocabulary of a demo model: a CLIP byte-level BPE of which each template word is one token, and nearly every
/// letter of any other word is one token too.
struct SignVocabulary {
  std::vector<std::string> tokens;  ///< Token of each id.
  std::vector<std::pair<std::string, std::string>> merges;
};

/// The words of sign prompts.
const std::vector<std::string>& sign_template_words();

/// Builds the merges so that they seldom apply inside other words: each template word grows from its pair of letters that
/// is rarest in `corpus` (lower-case words).
SignVocabulary build_sign_vocabulary(const std::vector<std::string>& corpus);

/// Writes vocab.json, merges.txt, tokenizer_config.json and special_tokens_map.json, as transformers reads them.
void write_sign_tokenizer(const SignVocabulary& vocabulary, std::int64_t max_length, const std::filesystem::path& folder);

}  // namespace glyphscope
