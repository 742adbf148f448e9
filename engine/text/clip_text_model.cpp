#include "text/clip_text_model.h"

#include <torch/torch.h>

#include "core/error.h"

namespace glyphscope {

ClipTextConfig ClipTextConfig::parse(const Config& config) {
  ClipTextConfig out;
  out.vocab_size = config.size("vocab_size", 49408, 3, 1 << 22);
  out.hidden_size = config.size("hidden_size", 512, 1, 65536);
  out.intermediate_size = config.size("intermediate_size", 2048, 1, 1 << 18);
  out.layers = config.size("num_hidden_layers", 12, 1, 256);
  out.heads = config.size("num_attention_heads", 8, 1, 1024);
  out.max_positions = config.size("max_position_embeddings", 77, 2, 65536);
  out.norm_eps = config.number("layer_norm_eps", 1e-5);
  out.eos_token_id = config.integer("eos_token_id", 49407);
  if (config.has("architectures") && !config.texts("architectures").empty() && config.texts("architectures")[0] == "CLIPTextModelWithProjection")
    out.projection = config.size("projection_dim", 512, 1, 65536);
  const std::string activation = config.text("hidden_act", "quick_gelu");
  if (activation != "quick_gelu" && activation != "gelu") reject("unknown hidden_act '" + activation + "'", config.where());
  out.quick_gelu = activation == "quick_gelu";
  if (out.hidden_size % out.heads != 0) reject("hidden_size does not divide into num_attention_heads", config.where());
  return out;
}

namespace {

class ClipLayer : public torch::nn::Module {
 public:
  explicit ClipLayer(const ClipTextConfig& c) : heads_(c.heads), quick_gelu_(c.quick_gelu) {
    auto attention = register_module("self_attn", std::make_shared<Names>());
    q_proj = attention->register_module("q_proj", std::make_shared<Linear>(c.hidden_size, c.hidden_size));
    k_proj = attention->register_module("k_proj", std::make_shared<Linear>(c.hidden_size, c.hidden_size));
    v_proj = attention->register_module("v_proj", std::make_shared<Linear>(c.hidden_size, c.hidden_size));
    out_proj = attention->register_module("out_proj", std::make_shared<Linear>(c.hidden_size, c.hidden_size));
    layer_norm1 = register_module("layer_norm1", std::make_shared<LayerNorm>(c.hidden_size, c.norm_eps));
    auto mlp = register_module("mlp", std::make_shared<Names>());
    fc1 = mlp->register_module("fc1", std::make_shared<Linear>(c.hidden_size, c.intermediate_size));
    fc2 = mlp->register_module("fc2", std::make_shared<Linear>(c.intermediate_size, c.hidden_size));
    layer_norm2 = register_module("layer_norm2", std::make_shared<LayerNorm>(c.hidden_size, c.norm_eps));
  }

  torch::Tensor forward(torch::Tensor x) const {
    torch::Tensor h = layer_norm1->forward(x);
    auto split = [&](const torch::Tensor& t) { return t.view({t.size(0), t.size(1), heads_, -1}).transpose(1, 2); };
    h = at::scaled_dot_product_attention(split(q_proj->forward(h)), split(k_proj->forward(h)), split(v_proj->forward(h)), {}, 0.0, /*is_causal=*/true);
    x = x + out_proj->forward(h.transpose(1, 2).reshape(x.sizes()));
    h = fc1->forward(layer_norm2->forward(x));
    h = quick_gelu_ ? h * at::sigmoid(1.702 * h) : at::gelu(h);
    return x + fc2->forward(h);
  }

 private:
  std::int64_t heads_;
  bool quick_gelu_;
  std::shared_ptr<Linear> q_proj, k_proj, v_proj, out_proj, fc1, fc2;
  std::shared_ptr<LayerNorm> layer_norm1, layer_norm2;
};

}  // namespace

class ClipEncoder : public torch::nn::Module {
 public:
  explicit ClipEncoder(const ClipTextConfig& c) {
    layers = register_module("layers", std::make_shared<List<ClipLayer>>());
    for (std::int64_t i = 0; i < c.layers; ++i) layers->add(c);
  }
  std::shared_ptr<List<ClipLayer>> layers;
};

ClipTextModel::~ClipTextModel() = default;

ClipTextModel::ClipTextModel(const ClipTextConfig& config) : config_(config) {
  embeddings = register_module("embeddings", std::make_shared<Names>());
  token_embedding = embeddings->register_module("token_embedding", std::make_shared<Embedding>(config.vocab_size, config.hidden_size));
  position_embedding = embeddings->register_module("position_embedding", std::make_shared<Embedding>(config.max_positions, config.hidden_size));
  encoder = register_module("encoder", std::make_shared<ClipEncoder>(config));
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
  torch::Tensor x = token_embedding->forward(ids) + position_embedding->weight.slice(0, 0, ids.size(1));
  TextEncoding out;
  for (std::int64_t i = 0; i < config_.layers; ++i) {
    x = (*encoder->layers)[static_cast<size_t>(i)].forward(x);
    if (i + 1 == config_.layers - skip) out.hidden = x;
  }
  x = final_layer_norm->forward(x);
  out.embedding = skip == 0 ? x : final_layer_norm->forward(out.hidden);
  // transformers: with eos_token_id 2 (OpenAI's own, wrong configuration) the highest id is the end of the text.
  torch::Tensor end = config_.eos_token_id == 2 ? ids.argmax(-1) : (ids == config_.eos_token_id).to(torch::kInt32).argmax(-1);
  out.pooled = x.index({torch::arange(ids.size(0), end.options()), end});
  if (text_projection) out.pooled = text_projection->forward(out.pooled);
  return out;
}

}  // namespace glyphscope
