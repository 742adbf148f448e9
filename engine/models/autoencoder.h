#pragma once

#include <torch/nn/module.h>

#include <memory>
#include <string>

#include "core/progress.h"
#include "io/config.h"

namespace glyphscope {

/// What stands between pixels and what a latent model denoises. Latents are in the denoiser's scale, [B, latent_channels, h, w].
class Autoencoder {
 public:
  virtual ~Autoencoder() = default;
  /// What its weights are loaded into, and the name in it of a checkpoint's key.
  virtual torch::nn::Module& module() = 0;
  virtual std::string rename(const std::string& key) const { return key; }

  virtual std::int64_t latent_channels() const = 0;
  /// Pixels a side per latent.
  virtual std::int64_t factor() const = 0;
  /// Pixels a side of what is coded whole; larger pictures are coded in tiles of this size, which overlap by a quarter and are blended as diffusers does. 0
  /// never tiles. Smaller tiles take less memory, and let shades differ a little from one to the next.
  std::int64_t tile_size = 512;
  virtual std::int64_t usual_tile_size() const = 0;
  /// Latents as they are distributed, fp32.
  struct Latents {
    torch::Tensor mean, deviation;
  };
  /// pixels: [B, 3, H, W] in [-1, 1], sides multiples of factor(), of the module's dtype.
  virtual Latents to_latents(const torch::Tensor& pixels) const = 0;
  /// latents: fp32; dtype: the module's -> [B, 3, H, W] in [-1, 1]. `cancel` is asked now and then.
  virtual torch::Tensor to_pixels(const torch::Tensor& latents, torch::ScalarType dtype, const CancelToken& cancel) const = 0;
};

/// The one that a config.json describes: an AutoencoderKL or a VQModel. Throws a Failure.
std::unique_ptr<Autoencoder> make_autoencoder(const Config& config);

}  // namespace glyphscope
