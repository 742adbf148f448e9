#include "metrics/image_scores.h"

#include <torch/types.h>

#include <cmath>
#include <limits>
#include <opencv2/imgproc.hpp>

#include "core/error.h"

namespace glyphscope {

namespace {

void check_pair(const torch::Tensor& a, const torch::Tensor& b) {
  if (a.dim() != 3 || a.size(0) != 3 || a.scalar_type() != torch::kUInt8 || a.sizes() != b.sizes() || b.scalar_type() != torch::kUInt8)
    reject("two images of equal size were expected, [3, height, width] of bytes");
}

cv::Mat channel(const torch::Tensor& image, std::int64_t c) {
  const torch::Tensor plane = image[c].to(torch::kFloat64).contiguous();
  return cv::Mat(static_cast<int>(plane.size(0)), static_cast<int>(plane.size(1)), CV_64F, plane.data_ptr()).clone();
}

}  // namespace

double structural_similarity(const torch::Tensor& image, const torch::Tensor& reference) {
  check_pair(image, reference);
  constexpr int kRadius = 5;  // truncate 3.5 x sigma 1.5, rounded: an 11 x 11 window
  if (image.size(1) < 2 * kRadius + 1 || image.size(2) < 2 * kRadius + 1) reject("SSIM needs images of at least 11 x 11 pixels");
  constexpr double kSigma = 1.5, kC1 = (0.01 * 255) * (0.01 * 255), kC2 = (0.03 * 255) * (0.03 * 255);
  const cv::Mat kernel = cv::getGaussianKernel(2 * kRadius + 1, kSigma, CV_64F);
  auto blur = [&](const cv::Mat& x) {
    cv::Mat out;
    cv::sepFilter2D(x, out, CV_64F, kernel, kernel, {-1, -1}, 0, cv::BORDER_REFLECT);
    return out;
  };
  double sum = 0;
  for (std::int64_t c = 0; c < 3; ++c) {
    const cv::Mat x = channel(image, c), y = channel(reference, c);
    const cv::Mat mx = blur(x), my = blur(y);
    const cv::Mat vx = blur(x.mul(x)) - mx.mul(mx), vy = blur(y.mul(y)) - my.mul(my), vxy = blur(x.mul(y)) - mx.mul(my);
    cv::Mat ratio;
    cv::divide((2 * mx.mul(my) + kC1).mul(2 * vxy + kC2), (mx.mul(mx) + my.mul(my) + kC1).mul(vx + vy + kC2), ratio);
    // scikit-image leaves out the border that the window overhangs.
    sum += cv::mean(ratio(cv::Rect(kRadius, kRadius, ratio.cols - 2 * kRadius, ratio.rows - 2 * kRadius)))[0];
  }
  return sum / 3;
}

ImageScores score_images(const torch::Tensor& image, const torch::Tensor& reference) {
  check_pair(image, reference);
  ImageScores out;
  out.mse = (image.to(torch::kFloat64) - reference.to(torch::kFloat64)).pow(2).mean().item<double>();
  out.psnr = out.mse > 0 ? 10 * std::log10(255.0 * 255.0 / out.mse) : std::numeric_limits<double>::infinity();
  out.ssim = structural_similarity(image, reference);
  const torch::Tensor wrapped = image - reference;  // of bytes, as numpy's
  out.wrapped_mse = (wrapped * wrapped).to(torch::kFloat64).mean().item<double>();
  out.wrapped_psnr = 10 * std::log10(255.0 * 255.0 / (out.wrapped_mse + 1e-10));
  return out;
}

torch::Tensor black_out(const torch::Tensor& image, const std::vector<Box>& boxes) {
  torch::Tensor out = image.clone();
  for (const auto& box : boxes) out.slice(1, std::max(box.top, 0), std::max(box.bottom, 0)).slice(2, std::max(box.left, 0), std::max(box.right, 0)).zero_();
  return out;
}

}  // namespace glyphscope
