#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "io/config.h"
#include "models/conditioning.h"
#include "patching/taps.h"

namespace glyphscope {

/// How large a picture is that is learned from, in pixels. SDXL is told all of it.
struct PictureSize {
  std::int64_t height = 0, width = 0;
  std::int64_t original_height = 0, original_width = 0;  ///< Before it was scaled.
  std::int64_t top = 0, left = 0;                        ///< What was cut off after it was scaled.
};

/// What training a denoiser needs of a model beside its pictures. Not to be called in inference mode.
class Trainable {
 public:
  virtual ~Trainable() = default;
  /// scheduler_config.json.
  virtual const Config& scheduler_config() const = 0;
  /// A prompt as the denoiser reads it, one row, without sizes. Notes say what of it was cut. Throws a Failure.
  virtual Conditioning condition(const std::string& prompt, std::vector<std::string>& notes) = 0;
  /// What the denoiser reads beside the caption of a picture that is learned from, one row: Conditioning's other fields.
  virtual Conditioning beside_caption(const PictureSize& size) const = 0;
  /// No more prompts for now: large encoders may go.
  virtual void prompts_read() {}
  /// A signal to be denoised, as it is distributed: [B, C, h, w] fp32 each, scaled as the denoiser has it. The deviation is undefined where there is
  /// none.
  struct Signal {
    torch::Tensor mean, deviation;
  };
  /// pixels: [B, 3, H, W] in [-1, 1].
  virtual Signal encode_pixels(const torch::Tensor& pixels) const = 0;
  /// noisy: [B, C, h, w]; timestep: [B] fp32 -> what the denoiser says, [B, C, h, w]; of one that learns a variance, without it.
  virtual torch::Tensor denoise(const torch::Tensor& noisy, const torch::Tensor& timestep, const Conditioning& conditioning, Taps* taps = nullptr) const = 0;
};

}  // namespace glyphscope
