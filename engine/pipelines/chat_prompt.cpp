#include "pipelines/chat_prompt.h"

#include <torch/types.h>

#include <algorithm>
#include <limits>

#include "core/error.h"
#include "device/placement.h"
#include "pipelines/clip_prompt.h"
#include "text/weighted_prompt.h"

namespace glyphscope {

namespace {

DecoderTextConfig read_config(const ModelFolder& folder, std::int64_t layers_left) {
  const Config file = folder.config("text_encoder");
  DecoderTextConfig out = DecoderTextConfig::parse(file);
  if (out.layers < layers_left) reject("num_hidden_layers is " + std::to_string(out.layers) + ", too few to be read before the last", file.where());
  out.states = out.layers - layers_left;
  return out;
}

}  // namespace

ChatPrompt::ChatPrompt(const ModelFolder& folder, const Opening& opening, Options options)
    : options_(std::move(options)),
      tokenizer_([path = folder / "tokenizer", turn = options_.turn] { return ChatTokenizer(path, turn); }),
      encoder_(
          folder, "text_encoder", read_config(folder, options_.layers_left),
          [states = read_config(folder, options_.layers_left).states](const std::string& key) { return decoder_text_key(key, states); }, opening,
          opening.held_encoder_bytes),
      read_(remembered_bytes(opening.plan.device)) {}

ChatPrompt::States ChatPrompt::encode(const std::string& prompt, std::vector<std::string>& notes) const {
  return read_.get(prompt, notes, [&](std::vector<std::string>& its) -> States {
    const WeightedPrompt parsed = WeightedPrompt::parse(prompt);
    for (const auto& piece : parsed.pieces())
      if (piece.weight != 1)
        reject("this model's text encoder reads sentences, and knows no weights of words: '" + piece.text + "'", prompt.substr(0, 60),
               "Write the words without a weight");
    const ChatTokenizer::Tokens tokens = tokenizer_->tokenize(parsed.text(), options_.most_tokens);
    note_cut("the text encoder", tokens.cut, its);
    check_known({.ids = tokens.ids, .texts = tokens.texts, .weights = {}, .cut = {}}, encoder_.config().vocab_size, encoder_.name());
    const torch::Tensor states = encoder_.load().forward(torch::tensor(tokens.ids, on_host(torch::kInt64)).unsqueeze(0));
    const std::int64_t count = states.size(1), rows = rows_for(count);
    return {torch::constant_pad_nd(states, {0, 0, 0, rows - count}), (torch::arange(rows, states.options().dtype(torch::kInt64)) < count).unsqueeze(0)};
  });
}

WordTokens ChatPrompt::words(const std::string& prompt) const {
  const std::string text = WeightedPrompt::parse(prompt).text();
  const auto whole = static_cast<std::int64_t>(tokenizer_->tokenize(text, std::numeric_limits<std::int64_t>::max()).ids.size());
  const std::int64_t length = std::min(whole, options_.most_tokens);
  // Of a turn that is cut its end goes first.
  const std::int64_t trail = std::max<std::int64_t>(0, tokenizer_->trail() - (whole - length));
  return find_words(
      TokenEncoder::chat, text, 0, rows_for(length), tokenizer_->lead(), [this](const std::string& part) { return tokenizer_->encode(part); }, trail);
}

}  // namespace glyphscope
