#pragma once

#include <torch/types.h>

#include <array>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/random.h"

namespace glyphscope {

struct SignColour {
  const char* name;
  std::array<int, 3> rgb;
};
/// The eight colours of signs and walls.
const std::vector<SignColour>& sign_colours();

/// How the word stands on the sign. The prompt does not tell it.
struct TextStyle {
  enum class Font { mono, sans, serif };  ///< DejaVu's bold faces.
  Font font = Font::mono;
  double size = 18.5;     ///< Pixels an em; less where the word would not fit.
  double dx = 0, dy = 0;  ///< Pixels from the middle of the sign; less where the word would leave it.
};

/// One sign on a wall.
struct SignSpec {
  bool round = false;
  int sign = 0;      ///< Index into sign_colours().
  int wall = 0;      ///< Another index than `sign`.
  std::string word;  ///< Capitals; empty for a blank sign.
  int row = 0;       ///< Height of the sign on the wall, 0 (top) to 3. The prompt does not tell it.
  TextStyle style;

  /// a round red sign that says "LOVE" on a blue wall
  std::string prompt() const;
};

/// Where the text of a drawn sign lies, in pixels; empty for a blank sign.
struct TextBox {
  int left = 0, top = 0, right = 0, bottom = 0;
};

struct SignImage {
  torch::Tensor pixels;  ///< [3, 64, 64] uint8
  TextBox text;
};

/// Draws signs of 64 x 64 pixels. Not for use by several threads at once.
class SignRenderer {
 public:
  static constexpr int kSize = 64;
  /// Throws a Failure that names the font file if one is missing.
  explicit SignRenderer(const std::filesystem::path& fonts = "/usr/share/fonts/truetype/dejavu");
  ~SignRenderer();
  SignImage render(const SignSpec& spec) const;

 private:
  struct Fonts;
  std::unique_ptr<Fonts> fonts_;
};

/// What a demo model is to learn. `plain`: one font and size, in the middle of the sign. `varied`: monospaced and
/// proportional letters of two sizes, off the middle too (the serif face is left for fine-tuning).
enum class SignStyles { plain, varied };

/// Draws specs: half of the words from a list, half random letters, 3 to 5 of them; some signs blank. Never a held-out word.
class SignSampler {
 public:
  SignSampler(std::vector<std::string> words, std::set<std::string> held_out, SignStyles styles = SignStyles::varied, double blank_share = 0.04);
  SignSpec sample(Choice& choice) const;
  /// A sign whose word is given.
  static SignSpec with_word(const std::string& word, Choice& choice, SignStyles styles = SignStyles::varied);

 private:
  std::vector<std::string> words_;
  std::set<std::string> held_out_;
  SignStyles styles_;
  double blank_share_;
};

/// What a picture of a sign shows, judged by its pixels alone: medians of wall and sign against the eight colours, and
/// whether the sign's corners show wall.
struct SignAttributes {
  int sign = -1, wall = -1;
  bool round = false;
};
/// image: [3, 64, 64] uint8
SignAttributes read_sign_attributes(const torch::Tensor& image);

}  // namespace glyphscope
