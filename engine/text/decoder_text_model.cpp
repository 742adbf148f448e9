#include "text/decoder_text_model.h"

#include <torch/types.h>

#include <charconv>

#include "core/error.h"
#include "device/placement.h"
#include "models/block.h"

namespace glyphscope {

DecoderTextConfig DecoderTextConfig::parse(const Config& config) {
  DecoderTextConfig out;
  if (const std::string type = config.text("model_type", "qwen3"); type != "qwen3")
    reject("a text encoder of type '" + type + "' is not read here", config.where(), "Qwen3 is: take the text encoder that was published with the model");
  if (const std::string how = config.text("hidden_act", "silu"); how != "silu") reject("unknown hidden_act '" + how + "'", config.where());
  out.vocab_size = config.size("vocab_size", 151936, 3, 1 << 22);
  out.hidden_size = config.size("hidden_size", 4096, 1, 65536);
  out.intermediate_size = config.size("intermediate_size", 22016, 1, 1 << 18);
  out.layers = config.size("num_hidden_layers", 32, 1, 256);
  out.heads = config.size("num_attention_heads", 32, 1, 1024);
  out.key_value_heads = config.size("num_key_value_heads", out.heads, 1, 1024);
  out.head_width = config.size("head_dim", 128, 2, 4096);
  out.norm_eps = config.number("rms_norm_eps", 1e-6, 0, 1);
  out.qkv_bias = config.boolean("attention_bias", false);
  out.states = out.layers - 1;
  if (out.heads % out.key_value_heads != 0)
    reject("num_attention_heads is " + std::to_string(out.heads) + ", which is no multiple of num_key_value_heads, " + std::to_string(out.key_value_heads),
           config.where());
  if (out.head_width % 2 != 0) reject("head_dim is " + std::to_string(out.head_width) + ", an even number was expected", config.where());
  if (config.boolean("use_sliding_window", false)) reject("a text encoder whose layers see a window of the text alone is not read here", config.where());
  // transformers 5 has what older versions have beside each other in an object of its own.
  out.rope_theta = config.number("rope_theta", 10000, 1, 1e12);
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    const auto& json = config.json();
    if (!json.contains(key) || json[key].is_null()) continue;
    const Config rope(json[key], config.where() + ": " + key);
    out.rope_theta = rope.number("rope_theta", out.rope_theta, 1, 1e12);
    if (const std::string type = rope.text("rope_type", "default"); type != "default")
      reject("unknown rope_type '" + type + "'", config.where(), "Known is default");
  }
  return out;
}

namespace {

// Cosines and sines of each token's place, [T, head_width] fp32. Source: transformers' `Qwen3RotaryEmbedding`.
struct Turn {
  torch::Tensor cosine, sine;
  // By halves: x: [B, heads, T, head_width]
  torch::Tensor operator()(const torch::Tensor& x) const {
    const auto halves = x.chunk(2, -1);
    return x * cosine.to(x.dtype()) + at::cat({-halves[1], halves[0]}, -1) * sine.to(x.dtype());
  }
};

Turn turns(const DecoderTextConfig& c, std::int64_t tokens, torch::Device device) {
  const torch::Tensor power = torch::arange(0, c.head_width, 2, on_host(torch::kInt64)).to(torch::kFloat32) / static_cast<double>(c.head_width);
  const torch::Tensor angle = torch::outer(torch::arange(tokens, on_host(torch::kFloat32)), 1 / at::pow(c.rope_theta, power)).repeat({1, 2});
  return {angle.cos().to(device), angle.sin().to(device)};
}

}  // namespace

/// Mirrors transformers' `Qwen3DecoderLayer`.
class DecoderTextLayer : public Block {
 public:
  explicit DecoderTextLayer(const DecoderTextConfig& c) : heads_(c.heads), key_value_heads_(c.key_value_heads), head_width_(c.head_width) {
    const auto linear = [](auto& parent, const char* name, std::int64_t in, std::int64_t out, bool bias = false) {
      return parent->register_module(name, std::make_shared<Linear>(in, out, bias));
    };
    auto attention = register_module("self_attn", std::make_shared<Names>());
    q = linear(attention, "q_proj", c.hidden_size, c.heads * c.head_width, c.qkv_bias);
    k = linear(attention, "k_proj", c.hidden_size, c.key_value_heads * c.head_width, c.qkv_bias);
    v = linear(attention, "v_proj", c.hidden_size, c.key_value_heads * c.head_width, c.qkv_bias);
    o = linear(attention, "o_proj", c.heads * c.head_width, c.hidden_size, c.qkv_bias);
    if (c.qk_norm) {
      q_norm = attention->register_module("q_norm", std::make_shared<RmsNorm>(c.head_width, c.norm_eps));
      k_norm = attention->register_module("k_norm", std::make_shared<RmsNorm>(c.head_width, c.norm_eps));
    }
    auto mlp = register_module("mlp", std::make_shared<Names>());
    gate = linear(mlp, "gate_proj", c.hidden_size, c.intermediate_size);
    up = linear(mlp, "up_proj", c.hidden_size, c.intermediate_size);
    down = linear(mlp, "down_proj", c.intermediate_size, c.hidden_size);
    input_layernorm = register_module("input_layernorm", std::make_shared<RmsNorm>(c.hidden_size, c.norm_eps));
    post_attention_layernorm = register_module("post_attention_layernorm", std::make_shared<RmsNorm>(c.hidden_size, c.norm_eps));
  }

  torch::Tensor forward(const torch::Tensor& x, const Turn& turn) const {
    return run({x}, [this, turn](const Tensors& in) -> Tensors { return {compute(in[0], turn)}; })[0];
  }

 private:
  torch::Tensor compute(const torch::Tensor& x, const Turn& turn) const {
    torch::Tensor h = input_layernorm->forward(x);
    const auto split = [&](const torch::Tensor& t, std::int64_t heads) { return t.view({t.size(0), t.size(1), heads, head_width_}); };
    const auto normed = [](const std::shared_ptr<RmsNorm>& norm, const torch::Tensor& t) { return (norm ? norm->forward(t) : t).transpose(1, 2); };
    // Several heads of queries share one of keys and values.
    const auto shared = [&](const torch::Tensor& t) { return t.repeat_interleave(heads_ / key_value_heads_, 1); };
    h = at::scaled_dot_product_attention(turn(normed(q_norm, split(q->forward(h), heads_))),
                                         shared(turn(normed(k_norm, split(k->forward(h), key_value_heads_)))),
                                         shared(split(v->forward(h), key_value_heads_).transpose(1, 2)), {}, 0.0, /*is_causal=*/true);
    const torch::Tensor after = x + o->forward(h.transpose(1, 2).reshape({x.size(0), x.size(1), heads_ * head_width_}));
    h = post_attention_layernorm->forward(after);
    return after + down->forward(at::silu(gate->forward(h)) * up->forward(h));
  }

  std::int64_t heads_, key_value_heads_, head_width_;
  std::shared_ptr<Linear> q, k, v, o, gate, up, down;
  std::shared_ptr<RmsNorm> q_norm, k_norm, input_layernorm, post_attention_layernorm;
};

DecoderTextModel::~DecoderTextModel() = default;

DecoderTextModel::DecoderTextModel(const DecoderTextConfig& config) : config_(config) {
  embed_tokens = register_module("embed_tokens", std::make_shared<Embedding>(config.vocab_size, config.hidden_size));
  layers_ = register_module("layers", std::make_shared<List<DecoderTextLayer>>());
  for (std::int64_t i = 0; i < config.states; ++i) layers_->add(config);
}

torch::Tensor DecoderTextModel::forward(const torch::Tensor& ids) const {
  if (ids.numel() > 0 && (ids.min().item<std::int64_t>() < 0 || ids.max().item<std::int64_t>() >= config_.vocab_size))
    reject("the tokenizer gave the id " + std::to_string(ids.max().item<std::int64_t>()) + ", the text encoder knows " + std::to_string(config_.vocab_size),
           "text encoder", "Tokenizer and text encoder belong to different models");
  torch::Tensor x = embed_tokens->forward(ids.to(embed_tokens->weight.device()));
  const Turn turn = turns(config_, ids.size(1), x.device());
  for (const auto& layer : *layers_) x = layer->forward(x, turn);
  return x;
}

std::string decoder_text_key(const std::string& key, std::int64_t states) {
  std::string own = key.starts_with("model.") ? key.substr(6) : key;
  if (own.starts_with("embed_tokens.")) return own;
  constexpr std::string_view kLayers = "layers.";
  std::int64_t layer = 0;
  if (!own.starts_with(kLayers) || std::from_chars(own.data() + kLayers.size(), own.data() + own.size(), layer).ec != std::errc()) return "";
  return layer < states ? own : "";
}

}  // namespace glyphscope
