#pragma once

#include <torch/types.h>

#include <array>
#include <filesystem>

namespace glyphscope {

/// How a vision model wants pictures, as transformers' preprocessor_config.json says it: scaled, cut in the middle, normalized.
struct ImageProcessor {
  std::int64_t shortest = 0;           ///< The shorter side is scaled to this;
  std::int64_t height = 0, width = 0;  ///< or, where that is 0, both sides to these.
  std::int64_t crop = 0;               ///< A square that is cut from the middle; 0: nothing is cut.
  std::array<double, 3> mean{}, deviation{1, 1, 1};

  /// What the folder's file changes of *this; nothing without a file. Throws a Failure for what is not known here.
  void read(const std::filesystem::path& folder);

  /// image: [3, H, W] uint8 -> [3, h, w] fp32; as `CLIPImageProcessor`, `BitImageProcessor` and `ViTImageProcessor` (bicubic, antialiased).
  torch::Tensor prepare(const torch::Tensor& image) const;
};

/// OpenAI's CLIP's, and ImageNet's.
inline constexpr std::array<double, 3> kClipMean{0.48145466, 0.4578275, 0.40821073}, kClipDeviation{0.26862954, 0.26130258, 0.27577711},
    kImageNetMean{0.485, 0.456, 0.406}, kImageNetDeviation{0.229, 0.224, 0.225};

}  // namespace glyphscope
