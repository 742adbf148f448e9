#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <unordered_map>
#include <vector>

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
  std::unordered_map<std::string, std::int64_t> vocabulary_;
  std::unordered_map<std::string, int> ranks_;
  std::int64_t begin_ = 0, end_ = 0, unknown_ = 0;
};

}  // namespace glyphscope
