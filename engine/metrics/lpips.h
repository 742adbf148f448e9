#pragma once

#include <torch/types.h>

#include <filesystem>
#include <memory>
#include <string>

namespace glyphscope {

/// LPIPS, the learned perceptual distance of two pictures (arXiv 1801.03924), as the package lpips 0.1.4 computes it: differences of a network's features,
/// each of length 1, weighted by learned linear layers. From a folder with config.json ({"architectures": ["LPIPS"], "net": "alex" or "vgg"}) and
/// model.safetensors, whose keys are those of that package's module: packaging/lpips_folder.py writes it. fp32.
class Lpips {
 public:
  /// Throws a Failure that says what is missing or does not fit.
  explicit Lpips(const std::filesystem::path& folder, torch::Device device = torch::kCPU);
  ~Lpips();

  /// Features of a picture, [3, H, W] uint8: to be compared with those of others of its size. Throws a Failure for one too small for the network.
  std::vector<torch::Tensor> features(const torch::Tensor& image) const;
  /// 0 of equal pictures.
  double distance(const std::vector<torch::Tensor>& a, const std::vector<torch::Tensor>& b) const;

  /// SHA-256 of its weights and configurations.
  const std::string& hash() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace glyphscope
