#pragma once

#include <torch/nn/module.h>

#include <vector>

#include "models/attention.h"
#include "models/block.h"
#include "models/transformer.h"

namespace glyphscope {

/// What timestep, pooled prompt and, where the model reads it, guidance say to every block. Mirrors diffusers'
/// `CombinedTimestepTextProjEmbeddings` and `CombinedTimestepGuidanceTextProjEmbeddings`.
class TimeTextEmbed : public torch::nn::Module {
 public:
  TimeTextEmbed(std::int64_t width, std::int64_t pooled_width, bool with_guidance = false);
  /// timestep: [B] fp32, 0 to 1000; pooled: [B, pooled_width]; guidance: [B], if the model reads it -> [B, width]
  torch::Tensor forward(const torch::Tensor& timestep, const torch::Tensor& pooled, const torch::Tensor& guidance = {}) const;

 private:
  struct Embedder {
    std::shared_ptr<Linear> first, second;
    torch::Tensor forward(const torch::Tensor& x) const;
  };
  Embedder timestep_, guidance_, text_;
};

/// What the timestep does to a normed stream: `count` vectors [B, 1, width] each. Mirrors diffusers' `AdaLayerNormZero`,
/// `AdaLayerNormZeroSingle`, `SD35AdaLayerNormZeroX` and `AdaLayerNormContinuous`, which differ in number and order.
class Modulation : public torch::nn::Module {
 public:
  Modulation(std::int64_t width, std::int64_t count);
  /// time: [B, width]
  std::vector<torch::Tensor> forward(const torch::Tensor& time) const;

 private:
  std::int64_t count_;
  std::shared_ptr<Linear> linear;
};

/// Layer norm without weights, then scaled and shifted.
torch::Tensor modulated(const torch::Tensor& x, const torch::Tensor& shift, const torch::Tensor& scale);

/// Picture and prompt as two streams that attend to each other. Mirrors diffusers' `JointTransformerBlock` (Stable Diffusion 3) and
/// `FluxTransformerBlock`.
class JointBlock : public Block {
 public:
  struct Options {
    std::int64_t width = 0, heads = 1, head_width = 0;
    bool qk_norm = false;
    bool dual = false;  ///< The picture attends to itself a second time.
    bool last = false;  ///< The prompt's stream ends here.
  };
  explicit JointBlock(const Options& options);
  /// hidden: [B, N, width], context: [B, T, width], changed in place; time: [B, width]; rotary: of the picture's tokens, or null.
  void forward(torch::Tensor& hidden, torch::Tensor& context, const torch::Tensor& time, const Rotary* rotary, Taps* taps) const;

  std::shared_ptr<Attention> attn, attn2;

 private:
  void compute(torch::Tensor& hidden, torch::Tensor& context, const torch::Tensor& time, const Rotary* rotary, Taps* taps) const;
  bool last_;
  std::shared_ptr<Modulation> norm1, norm1_context;
  std::shared_ptr<FeedForward> ff, ff_context;
};

}  // namespace glyphscope
