#pragma once

#include <string>
#include <utility>
#include <vector>

/// What a prompt's parentheses mean, without a torch type: a window can include this.
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
  explicit WeightedPrompt(std::vector<Piece> pieces);
  /// Reads `(text:1.2)`; inside of one another weights multiply. `\(` and `\)` are parentheses, and so are those that hold no
  /// weight, or stand in double quotes, which hold what is to be written. Throws a Failure for a weight outside [0, 10].
  static WeightedPrompt parse(const std::string& prompt);

  /// What is left without the weights, and its parts.
  std::string text() const;
  const std::vector<Piece>& pieces() const { return pieces_; }
  /// Weight of a byte of text(); of its last byte beyond the end.
  double weight_at(size_t byte) const;
  /// As a prompt, which parse() reads as this.
  std::string prompt() const;

 private:
  std::vector<Piece> pieces_;
};

/// The prompt that reads as this text, whatever parentheses it holds: parse() of it is the text as it stands.
std::string verbatim(const std::string& text);

}  // namespace glyphscope
