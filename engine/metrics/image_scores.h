#pragma once

#include <torch/types.h>

#include <vector>

namespace glyphscope {

/// A rectangle of pixels, right and bottom exclusive.
struct Box {
  int left = 0, top = 0, right = 0, bottom = 0;
};

/// Differences of two images of equal size, [3, H, W] uint8 each; values are on the scale 0..255.
struct ImageScores {
  double mse = 0;
  double psnr = 0;  ///< Decibels; infinity for equal images.
  double ssim = 0;
  /// What the code of arXiv 2502.09935 has for the first two: it subtracts and squares in 8 bits, which wrap, and adds 1e-10 before the logarithm.
  double wrapped_mse = 0, wrapped_psnr = 0;
};

/// Throws a Failure for images of different or wrong shapes, or with a side under 11 pixels.
ImageScores score_images(const torch::Tensor& image, const torch::Tensor& reference);

/// Structural similarity as scikit-image computes it with gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
/// data_range=255 (Wang et al. 2004), averaged over RGB.
double structural_similarity(const torch::Tensor& image, const torch::Tensor& reference);

/// A copy with these boxes black.
torch::Tensor black_out(const torch::Tensor& image, const std::vector<Box>& boxes);

}  // namespace glyphscope
