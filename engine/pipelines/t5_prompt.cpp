#include "pipelines/t5_prompt.h"

#include <torch/types.h>

#include <algorithm>

#include "device/placement.h"
#include "pipelines/clip_prompt.h"

namespace glyphscope {

T5Prompt::T5Prompt(const ModelFolder& folder, const std::string& number, const Opening& opening)
    : folder_(folder),
      name_("text_encoder" + number),
      placement_{opening.plan.device, t5_dtype(opening.plan.placement(name_).dtype)},
      held_bytes_(opening.held_encoder_bytes),
      tokenizer_(T5Tokenizer::load(folder / ("tokenizer" + number))),
      config_(T5Config::parse(Config::read(folder / name_ / "config.json"))) {}

T5Encoder& T5Prompt::load() {
  if (!encoder_) {
    auto fresh = std::make_unique<T5Encoder>(config_);
    load_weights(*fresh, folder_.weights(name_), {.placement = placement_, .rename = t5_key});
    for (auto& parameter : fresh->parameters()) parameter.set_requires_grad(false);
    encoder_ = std::move(fresh);
  }
  return *encoder_;
}

void T5Prompt::release() {
  if (!encoder_) return;
  std::int64_t bytes = 0;
  for (const auto& parameter : encoder_->parameters()) bytes += static_cast<std::int64_t>(parameter.nbytes());
  if (bytes > held_bytes_) encoder_.reset();
}

torch::Tensor T5Prompt::encode(const std::string& prompt, const Options& options, std::vector<std::string>& notes) {
  const std::uint64_t most_bytes = std::uint64_t{placement_.device.is_cpu() ? 512u : 64u} << 20;
  const std::string key = std::to_string(options.most_tokens) + (options.masks_padding ? "m" : "a") + prompt;
  auto found = read_.find(key);
  if (found == read_.end()) {
    load();
    Read fresh;
    const std::int64_t length = std::min(options.most_tokens, tokenizer_.max_length());
    const Tokens tokens = tokenizer_.tokenize(WeightedPrompt::parse(prompt), length);
    note_cut("T5", tokens.cut, fresh.notes);
    auto states = [&](const Tokens& each) {
      const torch::Tensor ids = torch::tensor(each.ids, on_host(torch::kInt64)).unsqueeze(0);
      return encoder_->forward(ids, options.masks_padding ? (ids != T5Tokenizer::kPad).to(torch::kInt64) : torch::Tensor());
    };
    fresh.states = states(tokens);
    if (!even(tokens.weights)) fresh.states = weighted_states(fresh.states, states(tokenizer_.tokenize("", length)), tokens.weights);
    if (read_bytes_ > most_bytes) read_.clear(), read_bytes_ = 0;
    read_bytes_ += fresh.states.nbytes();
    found = read_.emplace(key, std::move(fresh)).first;
  }
  for (const auto& note : found->second.notes)
    if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
  return found->second.states;
}

WordTokens T5Prompt::words(const std::string& prompt, const Options& options, std::int64_t begin) const {
  return find_words(WeightedPrompt::parse(prompt).text(), begin, std::min(options.most_tokens, tokenizer_.max_length()), 0,
                    [this](const std::string& text) { return tokenizer_.encode(text); });
}

}  // namespace glyphscope
