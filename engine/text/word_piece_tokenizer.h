#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "text/clip_tokenizer.h"
#include "text/tokenizer.h"

namespace glyphscope {

/// BERT's WordPiece tokenizer: text cleaned, lower-cased and stripped of accents, split at spaces and punctuation, each word
/// taken apart into the longest pieces there are. Source: transformers `BertTokenizer`.
class WordPieceTokenizer {
 public:
  /// Reads vocab.txt and, where present, tokenizer_config.json of a folder; or tokenizer.json alone. Throws a Failure that names the file.
  static WordPieceTokenizer load(const std::filesystem::path& folder);

  /// Ids of a text without [CLS], [SEP] or padding.
  std::vector<std::int64_t> encode(const std::string& text) const;
  /// A prompt between [CLS] and [SEP], cut and padded to `length`. Tokens::texts stays empty.
  Tokens tokenize(const WeightedPrompt& prompt, std::int64_t length) const;
  std::size_t vocabulary_size() const { return tokenizer_.vocabulary_size(); }

 private:
  WordPieceTokenizer(Tokenizer tokenizer, const std::string& where);
  Tokenizer tokenizer_;
  std::int64_t pad_, begin_, end_;
};

}  // namespace glyphscope
