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

/// One sign on a wall.
struct SignSpec {
  bool round = false;
  int sign = 0;      ///< Index into sign_colours().
  int wall = 0;      ///< Another index than `sign`.
  std::string word;  ///< Capitals; empty for a blank sign.
  int row = 0;       ///< Height of the sign on the wall, 0 (top) to 3. The prompt does not tell it.

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

/// Draws signs of 64 x 64 pixels with a monospaced bold font. Not for use by several threads at once.
class SignRenderer {
 public:
  static constexpr int kSize = 64;
  /// Throws a Failure that names the font file if it is missing.
  explicit SignRenderer(const std::filesystem::path& font = "/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf");
  ~SignRenderer();
  SignImage render(const SignSpec& spec) const;

 private:
  struct Font;
  std::unique_ptr<Font> font_;
};

/// Draws specs: half of the words from a list, half random letters, 3 to 5 of them; some signs blank. Never a held-out word.
class SignSampler {
 public:
  SignSampler(std::vector<std::string> words, std::set<std::string> held_out, double blank_share = 0.04);
  SignSpec sample(Choice& choice) const;
  /// A sign whose word is given.
  static SignSpec with_word(const std::string& word, Choice& choice);

 private:
  std::vector<std::string> words_;
  std::set<std::string> held_out_;
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
