#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace glyphscope {

/// RoBERTa's byte-level BPE tokenizer: words split by GPT-2's pattern, a space belongs to the word after it. Source: transformers `RobertaTokenizer`; but
/// what looks like a special token is text, so that nobody writes "</s>" into an image.
class RobertaTokenizer {
 public:
  /// Reads vocab.json and merges.txt of a folder, or its tokenizer.json. Throws a Failure that names the missing or malformed file.
  static RobertaTokenizer load(const std::filesystem::path& folder);

  /// Ids of a text between <s> and </s>; of a text that is too long for `length` ids, its beginning.
  std::vector<std::int64_t> encode(const std::string& text, std::size_t length) const;

 private:
  explicit RobertaTokenizer(Tokenizer tokenizer, const std::string& where);
  Tokenizer tokenizer_;
  std::int64_t begin_, end_;
};

}  // namespace glyphscope
