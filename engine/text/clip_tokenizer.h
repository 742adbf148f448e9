#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <unordered_map>
#include <vector>

#include "text/prompt_weights.h"

namespace glyphscope {

/// A prompt as the text encoder reads it.
struct Tokens {
  std::vector<std::int64_t> ids;   ///< Begin, text, end, padding: exactly `length` of them.
  std::vector<std::string> texts;  ///< Of each id, the piece of text it stands for; "" for padding.
  std::vector<double> weights;     ///< Of each id: what the prompt says; 1 for begin, end and padding.
  std::string cut;                 ///< What did not fit, as text; empty if all did.
};

/// CLIP's byte-level BPE tokenizer: lower case, words split by CLIP's pattern, merges by rank, `</w>` at a word's end.
/// Source: transformers `CLIPTokenizer`, https://github.com/openai/CLIP/blob/main/clip/simple_tokenizer.py
class ClipTokenizer {
 public:
  /// Reads vocab.json, merges.txt and, where present, tokenizer_config.json and special_tokens_map.json of a folder; a
  /// tokenizer.json alone will do too. Throws a Failure that names the missing or malformed file.
  static ClipTokenizer load(const std::filesystem::path& folder);

  /// A token that is found in the text as it stands, before any word is split.
  struct AddedToken {
    std::string content;
    bool normalized = false;  ///< Found in the normalised (lower-case) text instead.
  };
  ClipTokenizer(std::unordered_map<std::string, std::int64_t> vocabulary, const std::vector<std::pair<std::string, std::string>>& merges,
                std::int64_t max_length = 77, const std::string& pad_token = "<|endoftext|>",
                const std::vector<AddedToken>& added = {{"<|startoftext|>", true}, {"<|endoftext|>", false}});

  std::int64_t max_length() const { return max_length_; }
  std::size_t vocabulary_size() const { return vocabulary_.size(); }

  /// Ids of a text without begin, end or padding. Text that is not UTF-8 is read with U+FFFD in place of what is wrong.
  std::vector<std::int64_t> encode(const std::string& text) const;

  /// A prompt padded and cut to `length` (0: max_length()), as a pipeline feeds it to the text encoder.
  Tokens tokenize(const WeightedPrompt& prompt, std::int64_t length = 0) const;

 private:
  struct Piece {
    std::int64_t id;
    std::string text;
  };
  std::vector<Piece> pieces(const std::string& text) const;
  void add_words(const std::string& normal, std::vector<Piece>& out) const;
  std::vector<std::string> merge(const std::string& word) const;

  std::unordered_map<std::string, std::int64_t> vocabulary_;
  std::unordered_map<std::string, int> ranks_;  // "left right" -> rank
  std::vector<std::string> raw_, normalized_;   // added tokens, by the text they are found in
  std::int64_t max_length_;
  std::int64_t begin_, end_, unknown_, pad_;
};

}  // namespace glyphscope
