#pragma once

#include <torch/types.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace glyphscope {

/// A CLIP that the user supplies, in transformers' format: a folder of a `CLIPModel` (config.json, model.safetensors, tokenizer), which compares pictures
/// with texts; or of a `CLIPVisionModelWithProjection`, which gives features of pictures alone. fp32. preprocessor_config.json is read where it is there;
/// else pictures are prepared as OpenAI's CLIP wants them.
class ClipScorer {
 public:
  /// Throws a Failure that says what is missing or does not fit.
  explicit ClipScorer(const std::filesystem::path& folder, torch::Device device = torch::kCPU);
  ~ClipScorer();

  /// image: [3, H, W] uint8 -> [3, size, size] fp32, scaled (bicubic, antialiased), cut in the middle and normalized; as `CLIPImageProcessor`.
  torch::Tensor prepare(const torch::Tensor& image) const;
  /// prepared: [N, 3, size, size] -> [N, projection] on the host: transformers' `image_embeds` before they are normalized.
  torch::Tensor image_features(const torch::Tensor& prepared) const;
  /// One row of features, [N, projection], for each picture.
  torch::Tensor features(const std::vector<torch::Tensor>& images) const;

  bool reads_text() const;
  /// [1, projection]; of a text that is too long, its beginning counts. Throws a Failure if this CLIP reads no text.
  torch::Tensor text_features(const std::string& text) const;
  /// CLIP's alignment of a picture's features with a text: their cosine, in [-1, 1].
  double alignment(const torch::Tensor& image_features, const std::string& text) const;

  const std::filesystem::path& folder() const;
  /// SHA-256 of its weights and configurations.
  const std::string& hash() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace glyphscope
