#pragma once

#include <torch/types.h>

#include <array>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/random.h"
#include "io/config.h"

namespace glyphscope {

struct SignColour {
  const char* name;
  std::array<int, 3> rgb;
};
/// The eight colours of signs and walls.
const std::vector<SignColour>& sign_colours();

/// How the word stands on the sign. The prompt does not tell it.
struct TextStyle {
  enum class Font { mono, oblique, sans, serif };  ///< DejaVu's bold faces; the first two are monospaced.
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
  torch::Tensor pixels;  ///< [3, side, side] uint8
  TextBox text;
};

/// Draws signs. Not for use by several threads at once.
class SignRenderer {
 public:
  static constexpr int kSize = 64;  ///< Pixels a side, as all lengths of a sign count them.
  /// Throws a Failure that names the font file if one is missing.
  explicit SignRenderer(const std::filesystem::path& fonts = "/usr/share/fonts/truetype/dejavu");
  ~SignRenderer();
  SignImage render(const SignSpec& spec) const;
  /// The same, averaged down to `side` pixels a side.
  SignImage render(const SignSpec& spec, std::int64_t side) const;

 private:
  struct Fonts;
  std::unique_ptr<Fonts> fonts_;
};

/// What a demo model is to learn. `plain`: one font, in the middle of the sign. `varied`: upright and oblique letters, off the middle
/// too. The proportional faces are left for fine-tuning.
enum class SignStyles { plain, varied };

/// Which signs a demo model is to draw.
struct SignData {
  SignStyles styles = SignStyles::varied;
  int shortest = 3, longest = 5;  ///< Letters of a word.
  double text_size = 18.5;        ///< As TextStyle::size.
  std::int64_t side = 64;         ///< Pixels a side of a picture; divides 64.

  nlohmann::ordered_json to_json() const;
  /// Of a demo model's recipe.json; what it does not say is as above. Throws a Failure.
  static SignData parse(const Config& recipe);
};

/// Draws specs: half of the words from a list, half random letters; some signs blank. Never a held-out word.
class SignSampler {
 public:
  /// Words of other lengths than the data's are left out; throws a Failure if none is left.
  SignSampler(std::vector<std::string> words, std::set<std::string> held_out, const SignData& data = {}, double blank_share = 0.04);
  SignSpec sample(Choice& choice) const;
  /// A sign whose word is given.
  static SignSpec with_word(const std::string& word, Choice& choice, const SignData& data = {});

 private:
  std::vector<std::string> words_;
  std::set<std::string> held_out_;
  SignData data_;
  double blank_share_;
};

/// What a picture of a sign shows, judged by its pixels alone: medians of wall and sign against the eight colours, and
/// whether the sign's corners show wall.
struct SignAttributes {
  int sign = -1, wall = -1;
  bool round = false;
};
/// image: [3, side, side] uint8, where side divides 64
SignAttributes read_sign_attributes(const torch::Tensor& image);

}  // namespace glyphscope
