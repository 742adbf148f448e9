#include "pipelines/t5_prompt.h"

#include <torch/torch.h>

#include <algorithm>

#include "pipelines/batched_pipeline.h"
#include "pipelines/clip_prompt.h"

namespace glyphscope {

T5Prompt::T5Prompt(const ModelFolder& folder, const std::string& number, const OpenOptions& options)
    : folder_(folder),
      name_("text_encoder" + number),
      dtype_(t5_dtype(parse_dtype(options.dtype))),
      held_bytes_(options.held_encoder_bytes),
      tokenizer_(T5Tokenizer::load(folder / ("tokenizer" + number))),
      config_(T5Config::parse(Config::read(folder / name_ / "config.json"))) {}

T5Encoder& T5Prompt::module() {
  if (!encoder_) encoder_ = std::make_unique<T5Encoder>(config_);
  return *encoder_;
}

void T5Prompt::release() {
  if (!encoder_) return;
  std::int64_t bytes = 0;
  for (const auto& parameter : encoder_->parameters()) bytes += static_cast<std::int64_t>(parameter.nbytes());
  if (bytes > held_bytes_) encoder_.reset();
}

torch::Tensor T5Prompt::encode(const std::string& prompt, const Options& options, std::vector<std::string>& notes) {
  if (!encoder_) load_weights(module(), folder_.weights(name_), {.dtype = dtype_, .rename = t5_key});
  const std::int64_t length = std::min(options.most_tokens, tokenizer_.max_length());
  const Tokens tokens = tokenizer_.tokenize(WeightedPrompt::parse(prompt), length);
  note_cut("T5", tokens.cut, notes);
  auto states = [&](const Tokens& each) {
    const torch::Tensor ids = torch::tensor(each.ids).unsqueeze(0);
    return encoder_->forward(ids, options.masks_padding ? (ids != T5Tokenizer::kPad).to(torch::kInt64) : torch::Tensor());
  };
  const torch::Tensor out = states(tokens);
  return even(tokens.weights) ? out : weighted_states(out, states(tokenizer_.tokenize("", length)), tokens.weights);
}

}  // namespace glyphscope
