#pragma once

#include <torch/nn/module.h>

#include <vector>

#include "io/config.h"
#include "models/attention.h"
#include "models/conditioning.h"
#include "patching/site.h"

namespace glyphscope {

/// What an MM-DiT is built from; names are those of diffusers' `SD3Transformer2DModel` configuration.
struct MmDitConfig {
  std::int64_t sample_size = 128, patch_size = 2, in_channels = 16, out_channels = 16;
  std::int64_t layers = 24, heads = 24, head_width = 64;
  std::int64_t joint_attention_dim = 4096, pooled_projection_dim = 2048, pos_embed_max_size = 192;
  std::vector<bool> dual_attention;  ///< Whether each block attends to the image a second time (3.5 medium).
  bool qk_norm = false;

  std::int64_t width() const { return heads * head_width; }
  /// Throws a Failure that names the key for a value that is wrong or not supported.
  static MmDitConfig parse(const Config& config);
};

class JointBlock;
class Modulation;
class TimeTextEmbed;

/// diffusers' `SD3Transformer2DModel` (models/transformers/transformer_sd3.py): patches and prompt tokens are two streams
/// that attend to each other in each block. Each block's attention is a site: its prompt K and V are the context stream's.
class MmDit : public torch::nn::Module {
 public:
  explicit MmDit(const MmDitConfig& config);
  ~MmDit() override;

  /// sample: [B, in, H, W], sides multiples of patch_size; timestep: [B] fp32, 0 to 1000; embedding [B, T,
  /// joint_attention_dim] and pooled [B, pooled_projection_dim] of the conditioning -> [B, out, H, W]. Throws a Failure.
  torch::Tensor forward(const torch::Tensor& sample, const torch::Tensor& timestep, const Conditioning& conditioning, Taps* taps = nullptr) const;

  const MmDitConfig& config() const { return config_; }
  const SiteTable& sites() const { return sites_; }

  /// Sets the table of positions, which checkpoints hold, as a model that is trained from scratch has it: sines and cosines
  /// of row and column. Source: diffusers `get_2d_sincos_pos_embed`.
  void fill_position_table();

 private:
  torch::Tensor positions(std::int64_t rows, std::int64_t columns) const;

  MmDitConfig config_;
  SiteTable sites_;
  std::shared_ptr<Conv2d> patches_;
  torch::Tensor position_table_;
  std::shared_ptr<TimeTextEmbed> time_text_embed;
  std::shared_ptr<Linear> context_embedder, proj_out;
  std::shared_ptr<List<JointBlock>> transformer_blocks;
  std::shared_ptr<Modulation> norm_out;
};

}  // namespace glyphscope
