#include "metrics/image_processor.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "io/config.h"

namespace glyphscope {
namespace fs = std::filesystem;

namespace {

constexpr std::int64_t kLargestSide = 8192;

void read_numbers(const Config& processor, const char* key, std::array<double, 3>& out) {
  if (!processor.has(key)) return;
  const auto& list = processor.json()[key];
  if (!list.is_array() || list.size() != 3 || !std::all_of(list.begin(), list.end(), [](const auto& one) { return one.is_number(); }))
    reject(std::string(key) + " is no list of three numbers", processor.where());
  for (size_t i = 0; i < 3; ++i) out[i] = list[i].get<double>();
}

// A square's side: one number, or height and width that are equal.
std::int64_t square_side(const Config& processor, const char* key, std::int64_t usual) {
  if (!processor.has(key)) return usual;
  if (processor.json()[key].is_number()) return processor.size(key, usual, 1, kLargestSide);
  const Config part = processor.part(key);
  for (const char* name : {"height", "width"})
    if (!part.has(name)) reject(std::string(key) + " has no " + name, processor.where(), "Another way to cut pictures is not known");
  if (part.size("height", 0, 1, kLargestSide) != part.size("width", 0, 1, kLargestSide)) reject(std::string(key) + " is no square", processor.where());
  return part.size("height", 0, 1, kLargestSide);
}

}  // namespace

void ImageProcessor::read(const fs::path& folder) {
  const fs::path file = folder / "preprocessor_config.json";
  if (!fs::exists(file)) return;
  const Config processor = Config::read(file);
  read_numbers(processor, "image_mean", mean);
  read_numbers(processor, "image_std", deviation);
  if (std::any_of(deviation.begin(), deviation.end(), [](double one) { return one <= 0; })) reject("image_std is not over 0", file.string());
  // What is done otherwise than by these would not be what the model was trained on.
  for (const char* key : {"do_resize", "do_rescale", "do_normalize"}) processor.require(key, true);
  processor.require("do_center_crop", crop > 0);
  processor.require("resample", 3);  // bicubic
  if (std::abs(processor.number("rescale_factor", 1 / 255.0) * 255 - 1) > 1e-6) reject("rescale_factor is not 1 / 255", file.string());
  if (processor.has("size")) {
    if (shortest == 0) {
      height = width = square_side(processor, "size", height);
    } else if (processor.json()["size"].is_number()) {
      shortest = processor.size("size", shortest, 1, kLargestSide);
    } else {
      const Config part = processor.part("size");
      if (!part.has("shortest_edge")) reject("size has no shortest_edge", file.string(), "Another way to scale pictures is not known");
      shortest = part.size("shortest_edge", 0, 1, kLargestSide);
    }
  }
  if (crop > 0) crop = square_side(processor, "crop_size", crop);
  if (shortest > 0 && shortest < crop) reject("pictures are scaled to fewer pixels than the model reads", file.string());
}

torch::Tensor ImageProcessor::prepare(const torch::Tensor& image) const {
  const std::int64_t shorter = std::min(image.size(1), image.size(2));
  // As transformers' `get_resize_output_image_size`: the longer side is cut to whole pixels.
  const auto scaled = [&](std::int64_t side) { return side == shorter ? shortest : shortest * side / shorter; };
  const std::array<std::int64_t, 2> size = shortest > 0 ? std::array{scaled(image.size(1)), scaled(image.size(2))} : std::array{height, width};
  torch::Tensor x = image.to(torch::kFloat32).unsqueeze(0);
  x = at::_upsample_bicubic2d_aa(x, size, /*align_corners=*/false).round().clamp(0, 255).squeeze(0);
  if (crop > 0) x = x.slice(1, (x.size(1) - crop) / 2, (x.size(1) - crop) / 2 + crop).slice(2, (x.size(2) - crop) / 2, (x.size(2) - crop) / 2 + crop);
  const auto column = [](const std::array<double, 3>& numbers) { return torch::tensor({numbers[0], numbers[1], numbers[2]}, torch::kFloat32).view({3, 1, 1}); };
  return (x / 255 - column(mean)) / column(deviation);
}

}  // namespace glyphscope
