#pragma once

#include <torch/types.h>

#include <memory>
#include <vector>

#include "pipelines/trajectory.h"

namespace glyphscope {

/// What all sites would do to a picture, from a few backward passes: how far a patch of each head of each site moves what the denoiser predicts from prompt A's
/// to prompt B's.
struct AttributionOptions {
  std::vector<double> at{0.15, 0.4, 0.7};  ///< At which shares of the steps, on the picture's own trajectory.
  /// How far all sites are patched where the gradient is taken: 0 sees what each does alone, 1 what is lost without it. Their mean is the trapezoid of an
  /// integral whose effects add up to 1 where all sites together give B's prediction (integrated gradients, arXiv 1703.01365).
  std::vector<double> strengths{0, 1};
  torch::Tensor mask;  ///< [height, width] fp32, of the picture's pixels: how much they count, as those where text stands. Undefined: all alike.
  /// [3, height, width] fp32: how a score of the picture grows by each pixel. Through the decoder it says what of a change of the prediction is towards the
  /// score, and the mask is not looked at. Undefined, or where no gradient comes through the decoder (it has a codebook, or memory is short): what is towards
  /// B's prediction.
  torch::Tensor pixels;
};

struct Attribution {
  torch::Tensor effects;           ///< [sites, most heads] fp64, on the host. Of a site the sum of its heads.
  std::int64_t denoiser_rows = 0;  ///< Drawing the trajectory counted; a backward pass counts as two forward ones.
};

}  // namespace glyphscope
