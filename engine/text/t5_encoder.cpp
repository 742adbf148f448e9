#include "text/t5_encoder.h"

#include <torch/types.h>

#include <cmath>

#include "core/error.h"
#include "device/placement.h"
#include "models/block.h"

namespace glyphscope {

T5Config T5Config::parse(const Config& config) {
  T5Config out;
  out.vocab_size = config.size("vocab_size", 32128, 3, 1 << 22);
  out.d_model = config.size("d_model", 512, 1, 65536);
  out.d_kv = config.size("d_kv", 64, 1, 4096);
  out.d_ff = config.size("d_ff", 2048, 1, 1 << 18);
  out.layers = config.size("num_layers", 6, 1, 256);
  out.heads = config.size("num_heads", 8, 1, 1024);
  out.buckets = config.size("relative_attention_num_buckets", 32, 4, 4096);
  out.max_distance = config.size("relative_attention_max_distance", 128, 2, 1 << 20);
  out.norm_eps = config.number("layer_norm_epsilon", 1e-6, 0, 1);
  const std::string projection = config.text("feed_forward_proj", "relu");
  if (projection != "relu" && projection != "gated-gelu") reject("unknown feed_forward_proj '" + projection + "'", config.where());
  out.gated = projection == "gated-gelu";
  return out;
}

/// Self-attention with a bias by distance and no scaling, then a feed-forward layer. Mirrors transformers' `T5Block`.
class T5Block : public Block {
 public:
  T5Block(const T5Config& c, std::shared_ptr<Embedding> bias) : Block(/*read_from_outside=*/bias != nullptr), heads_(c.heads), gated_(c.gated) {
    const std::int64_t inner = c.heads * c.d_kv;
    auto layer = register_module("layer", std::make_shared<Names>());
    auto first = layer->register_module("0", std::make_shared<Names>()), second = layer->register_module("1", std::make_shared<Names>());
    auto attention = first->register_module("SelfAttention", std::make_shared<Names>());
    auto linear = [](auto& parent, const char* name, std::int64_t in, std::int64_t out) {
      return parent->register_module(name, std::make_shared<Linear>(in, out, false));
    };
    q = linear(attention, "q", c.d_model, inner);
    k = linear(attention, "k", c.d_model, inner);
    v = linear(attention, "v", c.d_model, inner);
    o = linear(attention, "o", inner, c.d_model);
    if (bias) attention->register_module("relative_attention_bias", std::move(bias));
    norm_1 = first->register_module("layer_norm", std::make_shared<RmsNorm>(c.d_model, c.norm_eps));
    auto dense = second->register_module("DenseReluDense", std::make_shared<Names>());
    wi_0 = linear(dense, c.gated ? "wi_0" : "wi", c.d_model, c.d_ff);
    if (c.gated) wi_1 = linear(dense, "wi_1", c.d_model, c.d_ff);
    wo = linear(dense, "wo", c.d_ff, c.d_model);
    norm_2 = second->register_module("layer_norm", std::make_shared<RmsNorm>(c.d_model, c.norm_eps));
  }

  // bias: [1 or B, heads, T, T]
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& bias) const {
    return run({x, bias}, [this](const Tensors& in) -> Tensors { return {compute(in[0], in[1])}; })[0];
  }

 private:
  torch::Tensor compute(torch::Tensor x, const torch::Tensor& bias) const {
    torch::Tensor h = norm_1->forward(x);
    auto split = [&](const torch::Tensor& t) { return t.view({t.size(0), t.size(1), heads_, -1}).transpose(1, 2); };
    h = at::scaled_dot_product_attention(split(q->forward(h)), split(k->forward(h)), split(v->forward(h)), bias, 0.0, false, /*scale=*/1.0);
    x = x + o->forward(h.transpose(1, 2).reshape({x.size(0), x.size(1), -1}));
    h = norm_2->forward(x);
    h = gated_ ? at::gelu(wi_0->forward(h), "tanh") * wi_1->forward(h) : at::relu(wi_0->forward(h));
    return x + wo->forward(h);
  }

  std::int64_t heads_;
  bool gated_;
  std::shared_ptr<Linear> q, k, v, o, wi_0, wi_1, wo;
  std::shared_ptr<RmsNorm> norm_1, norm_2;
};

T5Encoder::~T5Encoder() = default;

T5Encoder::T5Encoder(const T5Config& config) : config_(config) {
  shared = register_module("shared", std::make_shared<Embedding>(config.vocab_size, config.d_model));
  auto encoder = register_module("encoder", std::make_shared<Names>());
  blocks_ = encoder->register_module("block", std::make_shared<List<T5Block>>());
  relative_attention_bias = std::make_shared<Embedding>(config.buckets, config.heads);
  for (std::int64_t i = 0; i < config.layers; ++i) blocks_->add(config, i == 0 ? relative_attention_bias : nullptr);
  final_layer_norm = encoder->register_module("final_layer_norm", std::make_shared<RmsNorm>(config.d_model, config.norm_eps));
}

// Half of the buckets for each direction; of these half exact, the rest logarithmic up to max_distance.
// Source: transformers `T5Attention._relative_position_bucket`, bidirectional.
torch::Tensor T5Encoder::position_bias(std::int64_t tokens) const {
  const std::int64_t half = config_.buckets / 2, exact = half / 2;
  torch::Tensor bucket = torch::empty({tokens, tokens}, on_host(torch::kInt64));
  auto out = bucket.accessor<std::int64_t, 2>();
  for (std::int64_t query = 0; query < tokens; ++query) {
    for (std::int64_t key = 0; key < tokens; ++key) {
      const std::int64_t distance = std::abs(key - query);
      std::int64_t index = distance;
      if (distance >= exact) {
        // In float, as the reference computes it: bucket borders depend on it.
        const float share = std::log(static_cast<float>(distance) / static_cast<float>(exact)) /
                            static_cast<float>(std::log(static_cast<double>(config_.max_distance) / static_cast<double>(exact)));
        index = std::min(half - 1, exact + static_cast<std::int64_t>(share * static_cast<float>(half - exact)));
      }
      out[query][key] = index + (key > query ? half : 0);
    }
  }
  return relative_attention_bias->forward(bucket.to(relative_attention_bias->weight.device())).permute({2, 0, 1}).unsqueeze(0);
}

torch::Tensor T5Encoder::forward(const torch::Tensor& ids, const torch::Tensor& mask) const {
  if (ids.numel() > 0 && (ids.min().item<std::int64_t>() < 0 || ids.max().item<std::int64_t>() >= config_.vocab_size))
    reject("the tokenizer gave the id " + std::to_string(ids.max().item<std::int64_t>()) + ", T5 knows " + std::to_string(config_.vocab_size), "text encoder",
           "Tokenizer and text encoder belong to different models");
  torch::Tensor x = shared->forward(ids.to(shared->weight.device()));
  torch::Tensor bias = position_bias(ids.size(1));
  if (mask.defined()) {
    const double lowest = bias.scalar_type() == torch::kFloat32 ? std::numeric_limits<float>::lowest() : -3e38;
    bias = bias + (mask == 0).to(bias.options()).mul(lowest).view({mask.size(0), 1, 1, mask.size(1)});
  }
  for (const auto& block : *blocks_) x = block->forward(x, bias);
  return final_layer_norm->forward(x);
}

std::string t5_key(const std::string& key) {
  if (key.starts_with("decoder.") || key.starts_with("lm_head.")) return "";
  return key == "encoder.embed_tokens.weight" ? "shared.weight" : key;
}

}  // namespace glyphscope
