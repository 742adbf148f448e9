#include "editing/paste_back.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>

#include "adapt/picture_set.h"

namespace glyphscope {

torch::Tensor paste_back(const torch::Tensor& edited, const EditMask& mask, const torch::Tensor& given) {
  const std::int64_t height = given.size(1), width = given.size(2);
  const Crop crop = crop_of(width, height, {edited.size(2), edited.size(1)});
  // Pixels of the picture given to one of the edit's.
  const double across = static_cast<double>(width) / static_cast<double>(crop.width), down = static_cast<double>(height) / static_cast<double>(crop.height);
  const auto x = [&](std::int64_t at) { return std::clamp<std::int64_t>(std::lround(static_cast<double>(at + crop.left) * across), 0, width); };
  const auto y = [&](std::int64_t at) { return std::clamp<std::int64_t>(std::lround(static_cast<double>(at + crop.top) * down), 0, height); };
  const std::int64_t left = x(0), top = y(0), right = x(edited.size(2)), bottom = y(edited.size(1));
  torch::Tensor pixels = edited.permute({1, 2, 0}).contiguous();
  const cv::Mat from(static_cast<int>(edited.size(1)), static_cast<int>(edited.size(2)), CV_8UC3, pixels.data_ptr());
  cv::Mat scaled;
  cv::resize(from, scaled, {static_cast<int>(right - left), static_cast<int>(bottom - top)}, 0, 0, across < 1 ? cv::INTER_AREA : cv::INTER_CUBIC);
  torch::Tensor out = given.clone();
  out.slice(1, top, bottom).slice(2, left, right).copy_(torch::from_blob(scaled.data, {bottom - top, right - left, 3}, torch::kUInt8).permute({2, 0, 1}));
  const Box box{static_cast<int>(x(mask.box.left)), static_cast<int>(y(mask.box.top)), static_cast<int>(x(mask.box.right)),
                static_cast<int>(y(mask.box.bottom))};
  return composite(out, given, feathered_mask(box, height, width, mask.feather * std::max(across, down)));
}

}  // namespace glyphscope
