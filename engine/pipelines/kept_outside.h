#pragma once

#include <torch/types.h>

#include "metrics/image_scores.h"

namespace glyphscope {

/// What of a picture stays in an image that is drawn: all outside a box, bit for bit; about the box the new fades into the old.
struct KeptOutside {
  torch::Tensor picture;  ///< [3, height, width] uint8, as large as the image.
  Box box;                ///< Within it.
  double feather = 4;     ///< Pixels about the box.

  /// The image with what stays, [3, height, width] uint8.
  torch::Tensor applied(const torch::Tensor& image) const;
};

/// How much of a pixel is new, [height, width] fp32: 1 in the box, fading to 0 within `feather` pixels about it.
torch::Tensor feathered_mask(const Box& box, std::int64_t height, std::int64_t width, double feather);

/// `edited` where the mask is 1, `source` bit for bit where it is 0. [3, H, W] uint8 each.
torch::Tensor composite(const torch::Tensor& edited, const torch::Tensor& source, const torch::Tensor& mask);

}  // namespace glyphscope
