#pragma once

#include <torch/nn/module.h>

#include "models/block.h"
#include "models/layers.h"

namespace glyphscope {

/// Mirrors diffusers' `ResnetBlock2D` (models/resnet.py).
class ResnetBlock2D : public Block {
 public:
  enum class Resample { none, up, down };
  struct Options {
    std::int64_t time_width = 0;  ///< 0: no timestep is read (autoencoders).
    std::int64_t groups = 32;
    double eps = 1e-5;
    bool scale_shift = false;  ///< The timestep scales and shifts after the second norm; else it is added before.
    Activation activation = Activation::silu;
    bool skip_time_act = false;  ///< The timestep comes activated already.
    double output_scale = 1;     ///< The sum is divided by it.
    Resample resample = Resample::none;
  };
  ResnetBlock2D(std::int64_t in, std::int64_t out, const Options& options);
  /// x: [B, in, H, W]; time: [B, time_width] or undefined -> [B, out, H, W], sides doubled or halved where it resamples.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& time) const;

 private:
  torch::Tensor compute(torch::Tensor x, const torch::Tensor& time) const;
  torch::Tensor resampled(const torch::Tensor& x) const;
  Options options_;
  std::shared_ptr<GroupNorm> norm1, norm2;
  std::shared_ptr<Conv2d> conv1, conv2, conv_shortcut;
  std::shared_ptr<Linear> time_emb_proj;
};

/// Halves height and width. Mirrors diffusers' `Downsample2D`; padding 0 means the autoencoder's (0, 1, 0, 1).
class Downsample2D : public torch::nn::Module {
 public:
  Downsample2D(std::int64_t channels, std::int64_t padding);
  torch::Tensor forward(torch::Tensor x) const;

 private:
  bool asymmetric_;
  std::shared_ptr<Conv2d> conv;
};

/// Doubles height and width, or meets the given size where a level had an odd one. Mirrors diffusers' `Upsample2D`.
class Upsample2D : public torch::nn::Module {
 public:
  explicit Upsample2D(std::int64_t channels);
  torch::Tensor forward(const torch::Tensor& x, at::OptionalIntArrayRef size = {}) const;

 private:
  std::shared_ptr<Conv2d> conv;
};

}  // namespace glyphscope
