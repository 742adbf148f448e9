#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "text/prompt_weights.h"
#include "text/tokenizer.h"

namespace glyphscope {

/// A prompt as the text encoder reads it.
struct Tokens {
  std::vector<std::int64_t> ids;   ///< Begin, text, end, padding: exactly `length` of them.
  std::vector<std::string> texts;  ///< Of each id, the piece of text it stands for; "" for padding.
  std::vector<double> weights;     ///< Of each id: what the prompt says; 1 for begin, end and padding.
  std::string cut;                 ///< What did not fit, as text; empty if all did.
};

/// CLIP's byte-level BPE tokenizer: lower case, words split by CLIP's pattern, `</w>` at a word's end. Source: transformers `CLIPTokenizer`,
/// https://github.com/openai/CLIP/blob/main/clip/simple_tokenizer.py
class ClipTokenizer {
 public:
  /// Reads vocab.json, merges.txt and, where present, tokenizer_config.json and special_tokens_map.json of a folder; a tokenizer.json alone will do too. Throws
  /// a Failure that names the missing or malformed file.
  static ClipTokenizer load(const std::filesystem::path& folder);

  std::int64_t max_length() const { return max_length_; }
  std::size_t vocabulary_size() const { return tokenizer_.vocabulary_size(); }

  /// Ids of a text without begin, end or padding.
  std::vector<std::int64_t> encode(const std::string& text) const;

  /// A prompt padded and cut to `length` (0: max_length()), as a pipeline feeds it to the text encoder.
  Tokens tokenize(const WeightedPrompt& prompt, std::int64_t length = 0) const;

 private:
  ClipTokenizer(Tokenizer tokenizer, std::int64_t max_length, const std::string& pad, const std::string& where);

  Tokenizer tokenizer_;
  std::int64_t max_length_;
  std::int64_t begin_, end_, pad_;
};

}  // namespace glyphscope
