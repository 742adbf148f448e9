#pragma once

#include "io/config.h"
#include "models/block.h"
#include "models/layers.h"

namespace glyphscope {

/// What CLIP's two towers have in common. Names are those of transformers' `CLIPTextConfig` and `CLIPVisionConfig`.
struct ClipLayersConfig {
  std::int64_t hidden_size = 512, intermediate_size = 2048, layers = 12, heads = 8;
  double norm_eps = 1e-5;
  bool quick_gelu = true;

  /// Into *this; its present values are what a file that says nothing means.
  void read(const Config& config);
};

/// A layer of either tower. Source: transformers `CLIPEncoderLayer`.
class ClipLayer : public Block {
 public:
  /// causal: a token attends to none that comes after it.
  ClipLayer(const ClipLayersConfig& config, bool causal);
  /// [B, T, hidden] -> the same.
  torch::Tensor forward(const torch::Tensor& x) const;

 private:
  torch::Tensor compute(torch::Tensor x) const;
  std::int64_t heads_;
  bool quick_gelu_, causal_;
  std::shared_ptr<Linear> q_proj, k_proj, v_proj, out_proj, fc1, fc2;
  std::shared_ptr<LayerNorm> layer_norm1, layer_norm2;
};

class ClipEncoder : public torch::nn::Module {
 public:
  ClipEncoder(const ClipLayersConfig& config, bool causal);
  std::shared_ptr<List<ClipLayer>> layers;
};

}  // namespace glyphscope
