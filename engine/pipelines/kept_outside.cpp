#include "pipelines/kept_outside.h"

#include <torch/types.h>

#include "device/placement.h"

namespace glyphscope {

torch::Tensor feathered_mask(const Box& box, std::int64_t height, std::int64_t width, double feather) {
  const auto beyond = [](std::int64_t size, int first, int end) {
    const torch::Tensor at = torch::arange(size, on_host());
    return torch::maximum(static_cast<double>(first) - at, at - static_cast<double>(end - 1)).clamp_min(0);
  };
  const torch::Tensor distance = torch::hypot(beyond(height, box.top, box.bottom).unsqueeze(1), beyond(width, box.left, box.right).unsqueeze(0));
  return (1 - distance / (feather + 1)).clamp(0, 1);
}

torch::Tensor composite(const torch::Tensor& edited, const torch::Tensor& source, const torch::Tensor& mask) {
  const torch::Tensor old = source.to(torch::kFloat32);
  return (old + mask * (edited.to(torch::kFloat32) - old)).round().to(torch::kUInt8);
}

torch::Tensor KeptOutside::applied(const torch::Tensor& image) const {
  return composite(image, picture, feathered_mask(box, picture.size(1), picture.size(2), feather));
}

}  // namespace glyphscope
