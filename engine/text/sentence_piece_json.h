#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace glyphscope {

/// The Unigram model of a tokenizer.json, which is all that transformers 5 writes of T5's tokenizer.
struct SentencePieceJson {
  std::string model;                          ///< The same as SentencePiece stores it (a serialized ModelProto), but for how characters are normalised.
  std::string charsmap;                       ///< A Charsmap's; empty: there is none.
  std::map<std::string, std::int64_t> added;  ///< Tokens that are found in the text as they stand.

  /// Throws a Failure that names what is missing, malformed, or of another kind than SentencePiece's.
  static SentencePieceJson read(const std::filesystem::path& file);
};

}  // namespace glyphscope
