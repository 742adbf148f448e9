#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

/// What the byte-level BPE tokenizers of CLIP and RoBERTa have in common.
namespace glyphscope {

/// The files of such a tokenizer.
struct BytePairs {
  std::unordered_map<std::string, std::int64_t> vocabulary;
  std::vector<std::pair<std::string, std::string>> merges;
  std::map<std::string, bool> added;  ///< Of a tokenizer.json alone: its added tokens, and whether they are normalized.

  /// vocab.json and merges.txt of a folder, or its tokenizer.json. Throws a Failure that names the missing or malformed file.
  static BytePairs read(const std::filesystem::path& folder);
};

/// GPT-2's map from bytes to printable characters: printable bytes stand for themselves, the others follow from U+0100.
const std::array<std::string, 256>& byte_letters();

/// "left right" -> its place among the merges.
std::unordered_map<std::string, int> merge_ranks(const std::vector<std::pair<std::string, std::string>>& merges);
/// Merges pairs of neighbours, the first in rank before the others, until none is left.
std::vector<std::string> merge_pairs(std::vector<std::string> parts, const std::unordered_map<std::string, int>& ranks);

}  // namespace glyphscope
