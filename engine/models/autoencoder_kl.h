#pragma once

#include <torch/nn/module.h>

#include <algorithm>

#include "core/progress.h"
#include "io/config.h"
#include "models/attention.h"
#include "models/autoencoder.h"
#include "models/resnet.h"

namespace glyphscope {

/// Names are those of diffusers' `AutoencoderKL` and `VQModel` configurations.
struct AutoencoderConfig {
  std::int64_t in_channels = 3, out_channels = 3, latent_channels = 4, sample_size = 512;
  std::vector<std::int64_t> block_out_channels;
  std::int64_t layers_per_block = 2, norm_groups = 32;
  bool mid_attention = true, quant_conv = true, post_quant_conv = true;
  double scaling_factor = 0.18215, shift_factor = 0;
  std::vector<double> latents_mean, latents_std;  ///< Of each channel, as Playground v2.5 has them; empty: 0 and 1.
  std::int64_t codebook = 0, code_width = 0;      ///< VQModel: number and width of the codes that latents are rounded to; 0: they are not.

  static AutoencoderConfig parse(const Config& config);
  /// Pixels a side per latent.
  std::int64_t factor() const { return std::int64_t{1} << (block_out_channels.size() - 1); }
};

/// Mean and log-variance of a latent, each [B, latent_channels, h, w], not yet scaled.
struct LatentDistribution {
  torch::Tensor mean;
  torch::Tensor log_variance;  ///< Clamped to [-30, 20].

  torch::Tensor sample(const torch::Tensor& noise) const;
  /// Kullback-Leibler divergence to N(0, 1), summed over each image's latent: [B].
  torch::Tensor kl() const;
};

class AutoencoderCoder;

/// diffusers' `AutoencoderKL` and `VQModel` (models/autoencoders/autoencoder_kl.py, vq_model.py).
class AutoencoderKl : public torch::nn::Module, public Autoencoder {
 public:
  explicit AutoencoderKl(const AutoencoderConfig& config);
  ~AutoencoderKl() override;

  const AutoencoderConfig& config() const { return config_; }
  torch::nn::Module& module() override { return *this; }
  std::string rename(const std::string& key) const override;
  std::int64_t latent_channels() const override { return config_.latent_channels; }
  std::int64_t factor() const override { return config_.factor(); }
  std::int64_t usual_tile_size() const override { return std::max<std::int64_t>(config_.sample_size, 512); }
  Latents to_latents(const torch::Tensor& pixels) const override;
  torch::Tensor to_pixels(const torch::Tensor& latents, torch::ScalarType dtype, const CancelToken& cancel) const override;

  /// image: [B, 3, H, W] in [-1, 1], sides multiples of factor(). Sides over `tile_size` pixels are done in tiles.
  /// A VQModel has no variance: its log_variance is the lowest.
  LatentDistribution encode(const torch::Tensor& image) const;
  /// latent: [B, latent_channels, h, w], already divided by the scaling factor -> [B, 3, H, W]. `cancel` is asked before each tile.
  torch::Tensor decode(const torch::Tensor& latent, const CancelToken& cancel = {}) const;

 private:
  torch::Tensor encode_moments(const torch::Tensor& image) const;
  torch::Tensor decode_whole(const torch::Tensor& latent) const;
  torch::Tensor nearest_codes(const torch::Tensor& latent) const;
  AutoencoderConfig config_;
  std::shared_ptr<AutoencoderCoder> encoder, decoder;
  std::shared_ptr<Conv2d> quant_conv, post_quant_conv;
  std::shared_ptr<Embedding> codes_;
};

/// The name under which a checkpoint of before diffusers 0.17 stored a key of an autoencoder's attention
/// ("mid_block.attentions.0.query.weight"), or the key itself. Source: diffusers `_convert_deprecated_attention_blocks`.
std::string modern_autoencoder_key(const std::string& key);

}  // namespace glyphscope
