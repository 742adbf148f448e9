#pragma once

#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "text/charsmap.h"
#include "text/clip_tokenizer.h"

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace glyphscope {

/// T5's tokenizer: special tokens are split off first, the rest is SentencePiece's. Source: transformers `T5Tokenizer`.
class T5Tokenizer {
 public:
  /// Reads spiece.model, or a tokenizer.json alone, and, where present, tokenizer_config.json of a folder. Throws a Failure that names the file.
  static T5Tokenizer load(const std::filesystem::path& folder);
  ~T5Tokenizer();
  T5Tokenizer(T5Tokenizer&&) noexcept;

  /// Ids of a text without end or padding.
  std::vector<std::int64_t> encode(const std::string& text) const;
  /// How many tokens the model was made for, if its folder says so; else as many as fit an int.
  std::int64_t max_length() const { return max_length_; }
  /// A prompt with its end token, cut and padded to `length`. Tokens::texts stays empty.
  Tokens tokenize(const WeightedPrompt& prompt, std::int64_t length) const;
  static constexpr std::int64_t kPad = 0, kEnd = 1;

 private:
  T5Tokenizer();
  struct Token {
    std::int64_t id;
    size_t byte;  // of the text, where it begins
  };
  std::vector<Token> tokens(const std::string& text) const;
  void add_special(const std::string& token, std::int64_t id);
  std::unique_ptr<sentencepiece::SentencePieceProcessor> model_;
  std::optional<Charsmap> charsmap_;  // of a tokenizer.json; else the model has its own
  std::vector<std::string> special_;
  std::int64_t max_length_ = std::numeric_limits<int>::max();
  std::unordered_map<std::string, std::int64_t> special_ids_;
};

}  // namespace glyphscope
