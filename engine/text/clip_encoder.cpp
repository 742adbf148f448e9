#include "text/clip_encoder.h"

#include <torch/types.h>

#include "core/error.h"

namespace glyphscope {

void ClipLayersConfig::read(const Config& config) {
  hidden_size = config.size("hidden_size", hidden_size, 1, 65536);
  intermediate_size = config.size("intermediate_size", intermediate_size, 1, 1 << 18);
  layers = config.size("num_hidden_layers", layers, 1, 256);
  heads = config.size("num_attention_heads", heads, 1, 1024);
  norm_eps = config.number("layer_norm_eps", norm_eps, 0, 1);
  const std::string activation = config.text("hidden_act", "quick_gelu");
  if (activation != "quick_gelu" && activation != "gelu") reject("unknown hidden_act '" + activation + "'", config.where());
  quick_gelu = activation == "quick_gelu";
  if (hidden_size % heads != 0) reject("hidden_size does not divide into num_attention_heads", config.where());
}

ClipLayer::ClipLayer(const ClipLayersConfig& c, bool causal) : heads_(c.heads), quick_gelu_(c.quick_gelu), causal_(causal) {
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

torch::Tensor ClipLayer::forward(const torch::Tensor& x) const {
  return run({x}, [this](const Tensors& in) -> Tensors { return {compute(in[0])}; })[0];
}

torch::Tensor ClipLayer::compute(torch::Tensor x) const {
  torch::Tensor h = layer_norm1->forward(x);
  auto split = [&](const torch::Tensor& t) { return t.view({t.size(0), t.size(1), heads_, -1}).transpose(1, 2); };
  h = at::scaled_dot_product_attention(split(q_proj->forward(h)), split(k_proj->forward(h)), split(v_proj->forward(h)), {}, 0.0, causal_);
  x = x + out_proj->forward(h.transpose(1, 2).reshape(x.sizes()));
  h = fc1->forward(layer_norm2->forward(x));
  h = quick_gelu_ ? h * at::sigmoid(1.702 * h) : at::gelu(h);
  return x + fc2->forward(h);
}

ClipEncoder::ClipEncoder(const ClipLayersConfig& config, bool causal) {
  layers = register_module("layers", std::make_shared<List<ClipLayer>>());
  for (std::int64_t i = 0; i < config.layers; ++i) layers->add(config, causal);
}

}  // namespace glyphscope
