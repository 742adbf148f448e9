#include "pipelines/t5_prompt.h"

#include <torch/types.h>

#include <algorithm>

#include "device/placement.h"
#include "pipelines/clip_prompt.h"

namespace glyphscope {

T5Prompt::T5Prompt(const ModelFolder& folder, const std::string& number, const Opening& opening)
    : tokenizer_([path = folder / ("tokenizer" + number)] { return T5Tokenizer::load(path); }),
      encoder_(folder, "text_encoder" + number, T5Config::parse(folder.config("text_encoder" + number)), t5_key, opening, opening.held_encoder_bytes),
      read_(remembered_bytes(opening.plan.device)) {}

torch::Tensor T5Prompt::encode(const std::string& prompt, const Options& options, std::vector<std::string>& notes) const {
  const std::string key = std::to_string(options.most_tokens) + (options.masks_padding ? "m" : "a") + prompt;
  const auto read = [&](std::vector<std::string>& its) {
    const T5Encoder& encoder = encoder_.load();
    const std::int64_t length = std::min(options.most_tokens, tokenizer_->max_length());
    const Tokens tokens = tokenizer_->tokenize(WeightedPrompt::parse(prompt), length);
    note_cut("T5", tokens.cut, its);
    check_known(tokens, encoder_.config().vocab_size, component());
    auto states = [&](const Tokens& each) {
      const torch::Tensor ids = torch::tensor(each.ids, on_host(torch::kInt64)).unsqueeze(0);
      return encoder.forward(ids, options.masks_padding ? (ids != T5Tokenizer::kPad).to(torch::kInt64) : torch::Tensor());
    };
    torch::Tensor out = states(tokens);
    return even(tokens.weights) ? out : weighted_states(out, states(tokenizer_->tokenize("", length)), tokens.weights);
  };
  return encoder_.training() ? read(notes) : read_.get(key, notes, read);
}

WordTokens T5Prompt::words(const std::string& prompt, const Options& options, std::int64_t begin) const {
  return find_words(TokenEncoder::t5, WeightedPrompt::parse(prompt).text(), begin, std::min(options.most_tokens, tokenizer_->max_length()), 0,
                    [this](const std::string& text) { return tokenizer_->encode(text); });
}

}  // namespace glyphscope
