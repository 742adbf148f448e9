#pragma once

#include <torch/nn/module.h>

#include "models/layers.h"
#include "patching/taps.h"

namespace glyphscope {

/// Multi-head attention, the only one there is. Mirrors diffusers' `Attention` (models/attention_processor.py).
class Attention : public torch::nn::Module {
 public:
  struct Options {
    std::int64_t query_width = 0;    ///< Width of the hidden states.
    std::int64_t context_width = 0;  ///< Width of what K and V are made of; 0 for self-attention.
    int heads = 1;
    std::int64_t head_width = 0;
    bool qkv_bias = false;
    bool upcast = false;  ///< Attend in fp32 (SD 2's `upcast_attention`).
  };
  explicit Attention(const Options& options);

  /// hidden: [B, N, query_width]; context: [B, T, context_width], undefined for self-attention -> [B, N, query_width].
  torch::Tensor forward(const torch::Tensor& hidden, const torch::Tensor& context, Taps* taps) const;

  /// K and V of a context [B, T, context_width], each [B, heads, T, head_width].
  KeyValue project(const torch::Tensor& context) const;

  int heads() const { return options_.heads; }
  std::int64_t kv_parameters() const;
  /// Index of the site this layer is, -1 for one that reads no prompt. Set once, by the denoiser that builds it.
  int site = -1;

  std::shared_ptr<Linear> to_q, to_k, to_v;
  std::shared_ptr<List<Linear>> to_out;

 private:
  torch::Tensor split_heads(const torch::Tensor& x) const;
  Options options_;
};

}  // namespace glyphscope
