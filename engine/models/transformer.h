#pragma once

#include "models/attention.h"
#include "models/block.h"

namespace glyphscope {

/// Feed-forward layer, four times as wide inside. Mirrors diffusers' `FeedForward`: net.0.proj, net.2.
class FeedForward : public torch::nn::Module {
 public:
  enum class Activation { geglu, gelu_tanh };  ///< "geglu", "gelu-approximate"
  explicit FeedForward(std::int64_t width, Activation activation = Activation::geglu);
  torch::Tensor forward(const torch::Tensor& x) const;

 private:
  Activation activation_;
  std::shared_ptr<Linear> in_, out_;
};

/// Self-attention, cross-attention to the prompt, feed-forward. Mirrors diffusers' `BasicTransformerBlock`.
class TransformerBlock : public Block {
 public:
  TransformerBlock(std::int64_t width, int heads, std::int64_t context_width, bool upcast);
  torch::Tensor forward(const torch::Tensor& x, const PromptStates& prompt, Taps* taps) const;

  std::shared_ptr<Attention> attn1, attn2;

 private:
  std::shared_ptr<LayerNorm> norm1, norm2, norm3;
  std::shared_ptr<FeedForward> ff;
};

/// Transformer blocks over the pixels of a feature map. Mirrors diffusers' `Transformer2DModel` with continuous input.
class SpatialTransformer : public torch::nn::Module {
 public:
  SpatialTransformer(std::int64_t channels, int heads, std::int64_t layers, std::int64_t context_width, std::int64_t groups, bool linear, bool upcast);
  /// x: [B, channels, H, W] -> the same shape.
  torch::Tensor forward(const torch::Tensor& x, const PromptStates& prompt, Taps* taps) const;

  std::shared_ptr<List<TransformerBlock>> transformer_blocks;

 private:
  bool linear_;
  std::shared_ptr<GroupNorm> norm;
  std::shared_ptr<Linear> linear_in_, linear_out_;
  std::shared_ptr<Conv2d> conv_in_, conv_out_;
};

}  // namespace glyphscope
