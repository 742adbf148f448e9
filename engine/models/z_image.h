#pragma once

#include <torch/nn/module.h>

#include <mutex>
#include <vector>

#include "io/config.h"
#include "models/attention.h"
#include "models/conditioning.h"
#include "patching/site.h"

namespace glyphscope {

/// What a Z-Image transformer is built from; names are those of diffusers' `ZImageTransformer2DModel` configuration.
struct ZImageConfig {
  std::int64_t channels = 16;  ///< `in_channels`: of the latent, whose 2 x 2 points are a token.
  std::int64_t width = 3840, heads = 30, layers = 30, refiners = 2, caption_width = 2560;
  double norm_eps = 1e-5, rope_theta = 256, t_scale = 1000;
  bool qk_norm = true;
  std::vector<std::int64_t> axes{32, 48, 48};      ///< `axes_dims`: of a head's width, what turns by the caption's place, row and column.
  std::vector<std::int64_t> most{1024, 512, 512};  ///< `axes_lens`: how many places each axis has.

  /// Throws a Failure that names the key for a value that is wrong or not supported.
  static ZImageConfig parse(const Config& config);
};

class ZImageBlock;
class ZImageFinal;

/// diffusers' `ZImageTransformer2DModel` (models/transformers/transformer_z_image.py): blocks that refine the picture alone and the caption alone, then blocks
/// of one stream that holds both. Sites are the caption's refiners, whose K and V of the prompt are the same at every step and which the picture does not
/// attend to, and then the blocks of both. A picture's own tokens turn by where the caption ends, which is counted in 32 tokens: where a site sees a prompt
/// that ends in another such block, that prompt's keys have the places that they have beside a picture of its own.
class ZImage : public torch::nn::Module {
 public:
  /// Captions and pictures are made of so many tokens: the last ones are of a learned kind, and all read them.
  static constexpr std::int64_t kTokens = 32;

  explicit ZImage(const ZImageConfig& config);
  ~ZImage() override;

  /// sample: [B, channels, H, W] with even sides; timestep: [B] fp32, 1000 (noise) to 0; embedding [B, T, caption_width] of the conditioning, T a multiple of
  /// 32, and where it has a token, prompt_mask [B, T]: what of a row lies beyond its own multiple of 32 nothing attends to -> the velocity from picture to
  /// noise, as sample. Throws a Failure.
  torch::Tensor forward(const torch::Tensor& sample, const torch::Tensor& timestep, const Conditioning& conditioning, Taps* taps = nullptr) const;

  const ZImageConfig& config() const { return config_; }
  const SiteTable& sites() const { return sites_; }

 private:
  torch::Tensor time(const torch::Tensor& timestep) const;
  torch::Tensor angles(std::int64_t axis, const torch::Tensor& places) const;
  Rotary caption_rotary(std::int64_t tokens, torch::Device device) const;
  Rotary picture_rotary(std::int64_t rows, std::int64_t columns, const torch::Tensor& caption_ends) const;
  // Where the tokens of a batch are, and which of its captions nothing attends to: the same at every step, so the last batch's stay where they are.
  struct Places {
    torch::Tensor given;  // they are of this mask, which is held so that no other is taken for it
    std::int64_t rows = 0, columns = 0;
    torch::Tensor mask;  // undefined: all are attended to
    Rotary caption, picture;
  };
  Places places(const torch::Tensor& given, std::int64_t rows, std::int64_t columns) const;
  mutable std::mutex mutex_;
  mutable Places places_;

  ZImageConfig config_;
  SiteTable sites_;
  std::shared_ptr<Linear> x_embedder, time_in, time_out, caption_in;
  std::shared_ptr<RmsNorm> caption_norm;
  std::shared_ptr<List<ZImageBlock>> noise_refiner, context_refiner, layers;
  std::shared_ptr<ZImageFinal> final_layer;
  torch::Tensor x_pad_token, cap_pad_token;
};

}  // namespace glyphscope
