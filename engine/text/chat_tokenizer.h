#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace glyphscope {

/// What a chat template puts around a prompt: data, as each pipeline has it.
struct ChatTurn {
  std::string before, after;
};

/// Qwen's byte-level BPE tokenizer, which reads a prompt as a user's turn of a chat. Source: transformers `Qwen2Tokenizer` and its `apply_chat_template`.
class ChatTokenizer {
 public:
  /// Reads the tokenizer.json of a folder, or its vocab.json, merges.txt and tokenizer_config.json. Throws a Failure that names the missing or malformed file,
  /// a mark of the turn that is no token of the vocabulary, or a chat template that has none of the turn's marks.
  ChatTokenizer(const std::filesystem::path& folder, ChatTurn turn);

  struct Tokens {
    std::vector<std::int64_t> ids;   ///< The turn, at most `most` of its first.
    std::vector<std::string> texts;  ///< Of each.
    std::string cut;                 ///< What of the prompt did not fit.
  };
  Tokens tokenize(const std::string& prompt, std::int64_t most) const;
  /// The ids of a text in its place in the turn, alone.
  std::vector<std::int64_t> encode(const std::string& text) const;
  /// How many tokens stand before the prompt, and after it.
  std::int64_t lead() const { return lead_; }
  std::int64_t trail() const { return trail_; }

 private:
  Tokenizer tokenizer_;
  ChatTurn turn_;
  std::int64_t lead_ = 0, trail_ = 0;
};

}  // namespace glyphscope
