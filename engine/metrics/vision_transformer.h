#pragma once

#include <torch/types.h>

#include <filesystem>
#include <memory>
#include <string>

#include "device/placement.h"

namespace glyphscope {

/// A DINO that the user supplies, in transformers' format: a folder of a `Dinov2Model` or a `ViTModel` (config.json, model.safetensors). fp32.
/// preprocessor_config.json is read where it is there; else pictures are prepared as that model's authors do.
class VisionTransformer {
 public:
  /// Throws a Failure that says what is missing or does not fit.
  explicit VisionTransformer(const std::filesystem::path& folder, torch::Device device = torch::kCPU);
  ~VisionTransformer();

  /// image: [3, H, W] uint8 -> [3, h, w] fp32.
  torch::Tensor prepare(const torch::Tensor& image) const;
  /// prepared: [N, 3, h, w] -> [N, hidden] on the host: the class token after the final norm.
  torch::Tensor features(const torch::Tensor& prepared) const;

  /// SHA-256 of its weights and configurations.
  const std::string& hash() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace glyphscope
