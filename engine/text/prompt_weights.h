#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

namespace glyphscope {

/// A prompt whose parts count more or less than others.
class WeightedPrompt {
 public:
  struct Piece {
    std::string text;
    double weight = 1;
  };

  /// A text as it stands, of weight 1.
  WeightedPrompt(const std::string& text) : pieces_{{text, 1}} {}  // NOLINT(google-explicit-constructor): a plain text is one
  WeightedPrompt(const char* text) : WeightedPrompt(std::string(text)) {}
  /// Reads `(text:1.2)`; inside of one another weights multiply. `\(` and `\)` are parentheses, and so are those that hold no
  /// weight. Throws a Failure for a weight outside [0, 10].
  static WeightedPrompt parse(const std::string& prompt);

  /// What is left without the weights, and its parts.
  std::string text() const;
  const std::vector<Piece>& pieces() const { return pieces_; }
  /// Weight of a byte of text(); of its last byte beyond the end.
  double weight_at(size_t byte) const;

 private:
  WeightedPrompt() = default;
  std::vector<Piece> pieces_;
};

/// states, empty: [1, T, width], what an encoder says of a prompt and of an empty one; weights: T of them. A token of weight w is moved to w
/// times its distance from what the empty prompt has in its place; of weight 1, not at all. Source: ComfyUI comfy/sd1_clip.py
/// `ClipTokenWeightEncoder`.
torch::Tensor weighted_states(const torch::Tensor& states, const torch::Tensor& empty, const std::vector<double>& weights);

/// Whether all weights are 1.
bool even(const std::vector<double>& weights);

}  // namespace glyphscope
