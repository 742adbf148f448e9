#include "demo/signs.h"

#include <ft2build.h>
#include <torch/torch.h>
#include FT_FREETYPE_H

#include <algorithm>
#include <cmath>
#include <map>

#include "core/error.h"
#include "core/unicode.h"

namespace glyphscope {

const std::vector<SignColour>& sign_colours() {
  static const std::vector<SignColour> colours = {{"red", {200, 40, 40}},     {"green", {40, 150, 60}},   {"blue", {50, 80, 200}},
                                                  {"yellow", {225, 200, 50}}, {"purple", {130, 60, 160}}, {"orange", {230, 130, 40}},
                                                  {"white", {240, 240, 240}}, {"black", {30, 30, 30}}};
  return colours;
}

std::string SignSpec::prompt() const {
  const auto& colours = sign_colours();
  const std::string thing = std::string(round ? "round " : "square ") + colours[static_cast<size_t>(sign)].name + " sign";
  const std::string place = std::string(" on a ") + colours[static_cast<size_t>(wall)].name + " wall";
  return word.empty() ? "a blank " + thing + place : "a " + thing + " that says \"" + word + "\"" + place;
}

namespace {

// All lengths in pixels of the 64 x 64 image.
constexpr double kLeft = 2, kRight = 62, kTop = 12, kRowStep = 4, kHeight = 32, kRadius = 11, kOutline = 1;
constexpr double kFontSize = 18.5;
constexpr int kOversample = 4;
constexpr std::array<int, 3> kOutlineColour{20, 20, 20}, kDarkInk{15, 15, 15}, kLightInk{245, 245, 245};

// Signed distance to a rounded rectangle, negative inside. Source: https://iquilezles.org/articles/distfunctions2d (sdRoundedBox)
double rounded_rectangle(double x, double y, double left, double top, double right, double bottom, double radius) {
  const double qx = std::abs(x - (left + right) / 2) - (right - left) / 2 + radius, qy = std::abs(y - (top + bottom) / 2) - (bottom - top) / 2 + radius;
  return std::hypot(std::max(qx, 0.0), std::max(qy, 0.0)) + std::min(std::max(qx, qy), 0.0) - radius;
}

double coverage(double distance) { return std::clamp(0.5 - distance, 0.0, 1.0); }

}  // namespace

struct SignRenderer::Font {
  struct Glyph {
    int left = 0, top = 0, width = 0, height = 0;
    std::vector<unsigned char> alpha;
  };
  FT_Library library = nullptr;
  FT_Face face = nullptr;
  double advance = 0, cap_height = 0;  // oversampled pixels
  std::map<char32_t, Glyph> glyphs;

  ~Font() {
    if (face) FT_Done_Face(face);
    if (library) FT_Done_FreeType(library);
  }

  const Glyph& glyph(char32_t code) {
    auto found = glyphs.find(code);
    if (found != glyphs.end()) return found->second;
    if (FT_Load_Char(face, code, FT_LOAD_RENDER | FT_LOAD_NO_HINTING) != 0) reject("the font has no glyph for a letter of the sign's word");
    const FT_GlyphSlot slot = face->glyph;
    Glyph glyph{slot->bitmap_left, slot->bitmap_top, static_cast<int>(slot->bitmap.width), static_cast<int>(slot->bitmap.rows), {}};
    for (int y = 0; y < glyph.height; ++y) {
      const unsigned char* row = slot->bitmap.buffer + y * slot->bitmap.pitch;
      glyph.alpha.insert(glyph.alpha.end(), row, row + glyph.width);
    }
    return glyphs.emplace(code, std::move(glyph)).first->second;
  }
};

SignRenderer::~SignRenderer() = default;

SignRenderer::SignRenderer(const std::filesystem::path& font) : font_(std::make_unique<Font>()) {
  if (FT_Init_FreeType(&font_->library) != 0) reject("FreeType does not start");
  if (FT_New_Face(font_->library, font.c_str(), 0, &font_->face) != 0)
    reject("cannot read the font", font.string(), "Debian's package fonts-dejavu-core has DejaVuSansMono-Bold.ttf");
  FT_Set_Char_Size(font_->face, 0, static_cast<FT_F26Dot6>(kFontSize * kOversample * 64), 72, 72);
  FT_Load_Char(font_->face, 'H', FT_LOAD_NO_HINTING);
  font_->advance = static_cast<double>(font_->face->glyph->linearHoriAdvance) / 65536;
  font_->cap_height = static_cast<double>(font_->face->glyph->metrics.height) / 64;
}

SignImage SignRenderer::render(const SignSpec& spec) const {
  const auto& colours = sign_colours();
  const auto wall = colours.at(static_cast<size_t>(spec.wall)).rgb, sign = colours.at(static_cast<size_t>(spec.sign)).rgb;
  const double top = kTop + kRowStep * spec.row, bottom = top + kHeight, radius = spec.round ? kRadius : 0;

  // Text coverage, oversampled in a buffer of its own and averaged down.
  std::array<double, kSize * kSize> ink{};
  TextBox box;
  if (!spec.word.empty()) {
    const auto letters = decode_utf8(spec.word);
    const double scale = kOversample, width = font_->advance * static_cast<double>(letters.size());
    double pen = (kLeft + kRight) / 2 * scale - width / 2;
    const double baseline = (top + bottom) / 2 * scale + font_->cap_height / 2;
    box = {kSize, kSize, 0, 0};
    for (char32_t letter : letters) {
      const auto& glyph = font_->glyph(letter);
      const int x0 = static_cast<int>(std::lround(pen)) + glyph.left, y0 = static_cast<int>(std::lround(baseline)) - glyph.top;
      for (int y = 0; y < glyph.height; ++y) {
        for (int x = 0; x < glyph.width; ++x) {
          const int px = (x0 + x) / kOversample, py = (y0 + y) / kOversample;
          if (x0 + x < 0 || y0 + y < 0 || px >= kSize || py >= kSize) continue;
          ink[static_cast<size_t>(py * kSize + px)] += glyph.alpha[static_cast<size_t>(y * glyph.width + x)] / (255.0 * kOversample * kOversample);
          box = {std::min(box.left, px), std::min(box.top, py), std::max(box.right, px + 1), std::max(box.bottom, py + 1)};
        }
      }
      pen += font_->advance;
    }
  }
  const auto& ink_colour = sign[0] + sign[1] + sign[2] > 380 ? kDarkInk : kLightInk;

  SignImage image{torch::empty({3, kSize, kSize}, torch::kUInt8), box};
  auto pixels = image.pixels.accessor<std::uint8_t, 3>();
  for (int y = 0; y < kSize; ++y) {
    for (int x = 0; x < kSize; ++x) {
      const double distance = rounded_rectangle(x + 0.5, y + 0.5, kLeft, top, kRight, bottom, radius);
      const double outer = coverage(distance), inner = coverage(distance + kOutline), text = std::min(1.0, ink[static_cast<size_t>(y * kSize + x)]);
      for (size_t c = 0; c < 3; ++c) {
        double value = wall[c] * (1 - outer) + kOutlineColour[c] * outer;
        value = value * (1 - inner) + sign[c] * inner;
        value = value * (1 - text) + ink_colour[c] * text;
        pixels[static_cast<std::int64_t>(c)][y][x] = static_cast<std::uint8_t>(std::lround(value));
      }
    }
  }
  return image;
}

SignSampler::SignSampler(std::vector<std::string> words, std::set<std::string> held_out, double blank_share)
    : words_(std::move(words)), held_out_(std::move(held_out)), blank_share_(blank_share) {
  if (words_.empty()) reject("the word list of the sign data set is empty");
}

SignSpec SignSampler::with_word(const std::string& word, Choice& choice) {
  SignSpec spec;
  const int colours = static_cast<int>(sign_colours().size());
  spec.round = choice.below(2) == 1;
  spec.sign = choice.below(colours);
  spec.wall = (spec.sign + 1 + choice.below(colours - 1)) % colours;
  spec.row = choice.below(4);
  spec.word = word;
  return spec;
}

SignSpec SignSampler::sample(Choice& choice) const {
  std::string word;
  if (choice.fraction() >= blank_share_) {
    do {
      word.clear();
      if (choice.below(2) == 0) {
        word = words_[static_cast<size_t>(choice.below(static_cast<int>(words_.size())))];
      } else {
        const int length = 3 + choice.below(3);
        for (int i = 0; i < length; ++i) word += static_cast<char>('A' + choice.below(26));
      }
    } while (held_out_.contains(word));
  }
  return with_word(word, choice);
}

SignAttributes read_sign_attributes(const torch::Tensor& image) {
  const torch::Tensor contiguous = image.contiguous();
  auto pixels = contiguous.accessor<std::uint8_t, 3>();
  const auto& colours = sign_colours();
  auto nearest = [&](const std::vector<std::pair<int, int>>& places) {
    std::array<int, 3> median{};
    for (int c = 0; c < 3; ++c) {
      std::vector<int> values;
      for (auto [y, x] : places) values.push_back(pixels[c][y][x]);
      std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
      median[static_cast<size_t>(c)] = values[values.size() / 2];
    }
    int best = 0, best_distance = 1 << 30;
    for (size_t i = 0; i < colours.size(); ++i) {
      int distance = 0;
      for (size_t c = 0; c < 3; ++c) distance += (colours[i].rgb[c] - median[c]) * (colours[i].rgb[c] - median[c]);
      if (distance < best_distance) best_distance = distance, best = static_cast<int>(i);
    }
    return best;
  };
  // The sign's upper edge is at 12, 16, 20 or 24, so the outermost rows are wall in every picture, and rows 28 to 39 between
  // frame and text, which five letters leave one column of, are sign.
  std::vector<std::pair<int, int>> wall, sign;
  for (int x = 0; x < SignRenderer::kSize; ++x)
    for (int y : {2, 4, 6, 8, 58, 60, 62}) wall.emplace_back(y, x);
  for (int y = 28; y <= 39; ++y)
    for (int x : {3, 60}) sign.emplace_back(y, x);
  SignAttributes out;
  out.wall = nearest(wall);
  out.sign = nearest(sign);
  auto distance = [&](int y, int x, int colour) {
    int sum = 0;
    for (int c = 0; c < 3; ++c) sum += std::abs(pixels[c][y][x] - colours[static_cast<size_t>(colour)].rgb[static_cast<size_t>(c)]);
    return sum;
  };
  // The height at which upper and lower edge fit best: sign within, wall without.
  int top = 0, best_fit = -(1 << 30);
  for (int row = 0; row < 4; ++row) {
    const int edge = static_cast<int>(kTop + kRowStep * row), far = edge + static_cast<int>(kHeight);
    int fit = 0;
    for (int x = 20; x < 44; ++x)
      for (int y : {edge + 2, edge + 3, far - 3, far - 4}) fit += distance(y, x, out.wall) - distance(y, x, out.sign);
    for (int x = 20; x < 44; ++x)
      for (int y : {edge - 2, edge - 3, far + 1, far + 2}) fit += distance(y, x, out.sign) - distance(y, x, out.wall);
    if (fit > best_fit) best_fit = fit, top = edge;
  }
  // One and two pixels inside its corners a square sign shows its colour, a round one the wall.
  int wall_like = 0, total = 0;
  for (int dy : {1, 2}) {
    for (int dx : {1, 2}) {
      for (auto [y, x] : {std::pair{top + dy, 2 + dx}, {top + dy, 61 - dx}, {top + 31 - dy, 2 + dx}, {top + 31 - dy, 61 - dx}}) {
        wall_like += distance(y, x, out.wall) < distance(y, x, out.sign);
        ++total;
      }
    }
  }
  out.round = wall_like * 2 > total;
  return out;
}

}  // namespace glyphscope
