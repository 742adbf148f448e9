#include "text/ldm_bert.h"

#include <torch/types.h>

#include "core/error.h"

namespace glyphscope {

LdmBertConfig LdmBertConfig::parse(const Config& config) {
  LdmBertConfig out;
  out.vocab_size = config.size("vocab_size", 30522, 5, 1 << 22);
  out.d_model = config.size("d_model", 1280, 1, 65536);
  out.feed_forward = config.size("encoder_ffn_dim", 5120, 1, 1 << 18);
  out.layers = config.size("encoder_layers", 32, 1, 256);
  out.heads = config.size("encoder_attention_heads", 8, 1, 1024);
  out.head_width = config.size("head_dim", 64, 1, 4096);
  out.max_positions = config.size("max_position_embeddings", 77, 2, 65536);
  config.require("activation_function", "gelu");
  return out;
}

/// Mirrors diffusers' `LDMBertEncoderLayer`.
class LdmBertLayer : public torch::nn::Module {
 public:
  explicit LdmBertLayer(const LdmBertConfig& c) : heads_(c.heads) {
    const std::int64_t inner = c.heads * c.head_width;
    auto attention = register_module("self_attn", std::make_shared<Names>());
    q_proj = attention->register_module("q_proj", std::make_shared<Linear>(c.d_model, inner, false));
    k_proj = attention->register_module("k_proj", std::make_shared<Linear>(c.d_model, inner, false));
    v_proj = attention->register_module("v_proj", std::make_shared<Linear>(c.d_model, inner, false));
    out_proj = attention->register_module("out_proj", std::make_shared<Linear>(inner, c.d_model));
    self_attn_layer_norm = register_module("self_attn_layer_norm", std::make_shared<LayerNorm>(c.d_model));
    fc1 = register_module("fc1", std::make_shared<Linear>(c.d_model, c.feed_forward));
    fc2 = register_module("fc2", std::make_shared<Linear>(c.feed_forward, c.d_model));
    final_layer_norm = register_module("final_layer_norm", std::make_shared<LayerNorm>(c.d_model));
  }
  torch::Tensor forward(torch::Tensor x) const {
    torch::Tensor h = self_attn_layer_norm->forward(x);
    auto split = [&](const torch::Tensor& t) { return t.view({t.size(0), t.size(1), heads_, -1}).transpose(1, 2); };
    h = at::scaled_dot_product_attention(split(q_proj->forward(h)), split(k_proj->forward(h)), split(v_proj->forward(h)));
    x = x + out_proj->forward(h.transpose(1, 2).reshape({x.size(0), x.size(1), -1}));
    return x + fc2->forward(at::gelu(fc1->forward(final_layer_norm->forward(x))));
  }

 private:
  std::int64_t heads_;
  std::shared_ptr<Linear> q_proj, k_proj, v_proj, out_proj, fc1, fc2;
  std::shared_ptr<LayerNorm> self_attn_layer_norm, final_layer_norm;
};

LdmBert::~LdmBert() = default;

LdmBert::LdmBert(const LdmBertConfig& config) : config_(config) {
  auto model = register_module("model", std::make_shared<Names>());
  embed_tokens = model->register_module("embed_tokens", std::make_shared<Embedding>(config.vocab_size, config.d_model));
  embed_positions = model->register_module("embed_positions", std::make_shared<Embedding>(config.max_positions, config.d_model));
  layers_ = model->register_module("layers", std::make_shared<List<LdmBertLayer>>());
  for (std::int64_t i = 0; i < config.layers; ++i) layers_->add(config);
  layer_norm = model->register_module("layer_norm", std::make_shared<LayerNorm>(config.d_model));
}

torch::Tensor LdmBert::forward(const torch::Tensor& ids) const {
  if (ids.dim() != 2 || ids.size(1) > config_.max_positions)
    reject("the text has more than " + std::to_string(config_.max_positions) + " tokens", "text encoder");
  if (ids.numel() > 0 && (ids.min().item<std::int64_t>() < 0 || ids.max().item<std::int64_t>() >= config_.vocab_size))
    reject("the tokenizer gave the id " + std::to_string(ids.max().item<std::int64_t>()) + ", the text encoder knows " + std::to_string(config_.vocab_size),
           "text encoder", "Tokenizer and text encoder belong to different models");
  torch::Tensor x = embed_tokens->forward(ids.to(embed_tokens->weight.device())) + embed_positions->weight.slice(0, 0, ids.size(1));
  for (const auto& layer : *layers_) x = layer->forward(x);
  return layer_norm->forward(x);
}

std::string ldm_bert_key(const std::string& key) { return key.starts_with("to_logits.") ? "" : key; }

}  // namespace glyphscope
