#pragma once

#include <torch/types.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "metrics/image_scores.h"

namespace torch::nn {
class Module;
}

namespace glyphscope {

/// A small recogniser of one line of text, whose gradients reach the picture: convolutions and connectionist temporal classification (Graves et al., ICML
/// 2006). It reads letters without their case, digits and some signs. It is no OCR: its log-likelihoods are a smooth score of how well a picture says a text
/// that is known, where OCR's reading jumps. `glyphscope train-reader` trains it on drawn lines; the one that ships is resources/models/reader.
class CtcReader {
 public:
  /// With random weights from this seed.
  explicit CtcReader(std::uint64_t seed);
  /// Of a folder with config.json and model.safetensors. Throws a Failure that names what is wrong.
  explicit CtcReader(const std::filesystem::path& folder, torch::Device device = torch::kCPU);
  ~CtcReader();

  static constexpr std::int64_t kHeight = 32;
  /// The labels of a text, 1 to classes() - 1; 0 is CTC's blank. None where a letter is not in the alphabet, or nothing is left of the text.
  static std::optional<std::vector<std::int64_t>> labels(const std::string& text);
  static std::int64_t classes();

  /// lines: [N, 3, 32, W] fp32, 0 to 255 -> [W / 4, N, classes] log-probabilities. W is a multiple of 4.
  torch::Tensor log_probabilities(const torch::Tensor& lines) const;
  /// The line that this box of a picture [3, H, W] (fp32 or uint8, 0 to 255) holds, with a margin: [1, 3, 32, W], scaled so that gradients flow. width: of the
  /// line; 0: what keeps the letters' shapes.
  static torch::Tensor line(const torch::Tensor& image, const Box& box, std::int64_t width = 0);

  /// The log-likelihood of a text on a line, in nats; -inf where the line has no room for it. Precondition: labels(text) are known.
  torch::Tensor log_likelihood(const torch::Tensor& line, const std::string& text) const;
  /// The same of labels, by the log_probabilities() of a line alone.
  static torch::Tensor log_likelihood_of(const torch::Tensor& columns, const std::vector<std::int64_t>& labels);
  /// What the line says, by the likeliest label of each column.
  std::string read(const torch::Tensor& line) const;

  torch::nn::Module& module() const;
  /// SHA-256 of its weights.
  const std::string& hash() const;
  void write(const std::filesystem::path& folder, const nlohmann::ordered_json& about) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// Where the text of two pictures of one place stands: the box about all pieces of both; the whole picture where there is none.
Box box_about(const std::vector<Box>& boxes, std::int64_t height, std::int64_t width);

}  // namespace glyphscope
