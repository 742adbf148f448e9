#include "text/clip_text_model.h"

#include <torch/types.h>

#include "core/error.h"

namespace glyphscope {

ClipTextConfig ClipTextConfig::parse(const Config& whole) {
  ClipTextConfig out;
  // A whole CLIP has one for each of its halves.
  const Config config = whole.has("text_config") ? whole.part("text_config") : whole;
  out.vocab_size = config.size("vocab_size", 49408, 3, 1 << 22);
  out.read(config);
  out.max_positions = config.size("max_position_embeddings", 77, 2, 65536);
  out.eos_token_id = config.size("eos_token_id", 49407, 0, 1 << 24);
  if (config.has("architectures") && !config.texts("architectures").empty() && config.texts("architectures")[0] == "CLIPTextModelWithProjection")
    out.projection = config.size("projection_dim", 512, 1, 65536);
  return out;
}

ClipTextModel::ClipTextModel(const ClipTextConfig& config) : config_(config) {
  embeddings = register_module("embeddings", std::make_shared<Names>());
  token_embedding = embeddings->register_module("token_embedding", std::make_shared<Embedding>(config.vocab_size, config.hidden_size));
  position_embedding = embeddings->register_module("position_embedding", std::make_shared<Embedding>(config.max_positions, config.hidden_size));
  encoder = register_module("encoder", std::make_shared<ClipEncoder>(config, /*causal=*/true));
  final_layer_norm = register_module("final_layer_norm", std::make_shared<LayerNorm>(config.hidden_size, config.norm_eps));
  if (config.projection > 0) text_projection = register_module("text_projection", std::make_shared<Linear>(config.hidden_size, config.projection, false));
}

TextEncoding ClipTextModel::forward(const torch::Tensor& ids, std::int64_t skip) const {
  if (skip < 0 || skip >= config_.layers)
    reject("the text encoder has " + std::to_string(config_.layers) + " layers, " + std::to_string(skip) + " cannot be left out", "clip skip");
  if (ids.dim() != 2 || ids.size(1) > config_.max_positions)
    reject("the text has more than " + std::to_string(config_.max_positions) + " tokens", "text encoder");
  if (ids.numel() > 0 && (ids.min().item<std::int64_t>() < 0 || ids.max().item<std::int64_t>() >= config_.vocab_size))
    reject("the tokenizer gave the id " + std::to_string(ids.max().item<std::int64_t>()) + ", the text encoder knows " + std::to_string(config_.vocab_size),
           "text encoder", "Tokenizer and text encoder belong to different models");
  const torch::Tensor there = ids.to(token_embedding->weight.device());
  torch::Tensor x = token_embedding->forward(there) + position_embedding->weight.slice(0, 0, ids.size(1));
  TextEncoding out;
  for (std::int64_t i = 0; i < config_.layers; ++i) {
    x = (*encoder->layers)[static_cast<size_t>(i)].forward(x);
    if (i + 1 == config_.layers - skip) out.hidden = x;
  }
  x = final_layer_norm->forward(x);
  out.embedding = skip == 0 ? x : final_layer_norm->forward(out.hidden);
  // transformers: with eos_token_id 2 (OpenAI's own, wrong configuration) the highest id is the end of the text.
  torch::Tensor end = config_.eos_token_id == 2 ? there.argmax(-1) : (there == config_.eos_token_id).to(torch::kInt32).argmax(-1);
  out.pooled = x.index({torch::arange(ids.size(0), end.options()), end});
  if (text_projection) out.pooled = text_projection->forward(out.pooled);
  return out;
}

}  // namespace glyphscope
