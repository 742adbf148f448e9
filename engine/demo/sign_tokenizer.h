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

/// The same for T5: a SentencePiece model of which each template word is one piece, and each other character one. Writes spiece.model
/// and tokenizer_config.json. Throws a Failure.
void write_sign_pieces(std::int64_t max_length, const std::filesystem::path& folder);
/// How many pieces it has.
std::int64_t sign_piece_count();

}  // namespace glyphscope
