#pragma once

#include <filesystem>
#include <string>
#include <unordered_map>
#include <vector>

#include "text/clip_tokenizer.h"

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
  std::size_t vocabulary_size() const { return pieces_.size(); }

 private:
  void add_words(const std::vector<char32_t>& text, std::vector<std::int64_t>& ids) const;
  void add_word(const std::vector<char32_t>& word, std::vector<std::int64_t>& ids) const;

  std::vector<std::string> pieces_;
  std::unordered_map<std::string, std::int64_t> ids_;
  std::vector<std::string> special_;
  std::int64_t pad_ = 0, unknown_ = 0, begin_ = 0, end_ = 0;
  bool lower_case_ = true, strip_accents_ = true, split_chinese_ = true;
};

}  // namespace glyphscope
