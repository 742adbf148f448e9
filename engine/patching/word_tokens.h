#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "patching/token_groups.h"

namespace glyphscope {

/// What one encoder reads of a prompt, and where the prompt's words, which spaces part, stand in it.
struct WordTokens {
  std::int64_t begin = 0, length = 0;  ///< Of the encoder's tokens in the prompt's embedding.
  std::vector<std::int64_t> ids;       ///< Of the text alone, as far as it fits.
  std::vector<std::string> words;
  std::vector<std::int64_t> first;  ///< Each word's first token, counted from `begin`; and, last, the first after all words.
  /// The text in double quotes: its first token, counted from `begin`, and the first after it; a token that a quote shares with it is of the text. Equal: there
  /// is none, or it does not fit.
  std::int64_t text_begin = 0, text_end = 0;
  TokenEncoder encoder = TokenEncoder::clip;
  std::int64_t trail = 1;  ///< Tokens that the encoder puts after the text.
};

/// text: without weights. lead, trail: tokens before the text and after it. encode: ids of a text alone, which no token may cross a space.
WordTokens find_words(TokenEncoder encoder, const std::string& text, std::int64_t begin, std::int64_t length, std::int64_t lead,
                      const std::function<std::vector<std::int64_t>(const std::string&)>& encode, std::int64_t trail = 1);

/// Which tokens of a source prompt stand for each token of a target prompt, as Prompt-to-Prompt aligns them (arXiv 2208.01626, section 3.1).
struct TokenAlignment {
  torch::Tensor map;     ///< [tokens, tokens] fp32: how much of the attention to a source's token (row) goes to a target's (column).
  torch::Tensor shared;  ///< [tokens] fp32: 1 for a target's token that has counterparts, else 0.
  TokenAlignment to(torch::Device device) const { return {map.to(device), shared.to(device)}; }
};

/// source, target: what each encoder reads, in the same order; tokens: of the whole embedding. With as many words in both, each stands for the one in its
/// place ("replacement"), its attention spread evenly if it has other numbers of tokens; else ("refinement") tokens that both have stand for each
/// other, as many of them as can in order. Where the authors' program maps what follows the last replaced word by its position, here it is mapped by what it
/// is.
TokenAlignment align_tokens(const std::vector<WordTokens>& source, const std::vector<WordTokens>& target, std::int64_t tokens);

}  // namespace glyphscope
