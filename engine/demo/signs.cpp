#include "demo/signs.h"

#include <ft2build.h>
#include <torch/types.h>
#include FT_FREETYPE_H

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

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
constexpr double kTextWidth = 56, kTextHeight = 22;
constexpr int kOversample = 4;
constexpr std::array<int, 3> kOutlineColour{20, 20, 20}, kDarkInk{15, 15, 15}, kLightInk{245, 245, 245};

// Signed distance to a rounded rectangle, negative inside. Source: https://iquilezles.org/articles/distfunctions2d (sdRoundedBox)
double rounded_rectangle(double x, double y, double left, double top, double right, double bottom, double radius) {
  const double qx = std::abs(x - (left + right) / 2) - (right - left) / 2 + radius, qy = std::abs(y - (top + bottom) / 2) - (bottom - top) / 2 + radius;
  return std::hypot(std::max(qx, 0.0), std::max(qy, 0.0)) + std::min(std::max(qx, qy), 0.0) - radius;
}

double coverage(double distance) { return std::clamp(0.5 - distance, 0.0, 1.0); }

}  // namespace

struct SignRenderer::Fonts {
  struct Glyph {
    int left = 0, top = 0, width = 0, height = 0;
    std::vector<unsigned char> alpha;
  };
  using Size = FT_F26Dot6;  // oversampled pixels an em, in 64ths

  FT_Library library = nullptr;
  std::array<FT_Face, 4> faces{};  // of TextStyle::Font
  std::map<std::tuple<FT_Face, Size, char32_t>, Glyph> glyphs;

  ~Fonts() {
    for (FT_Face face : faces)
      if (face) FT_Done_Face(face);
    if (library) FT_Done_FreeType(library);
  }

  FT_Face face(TextStyle::Font font) const { return faces.at(static_cast<size_t>(font)); }
  static Size size_of(double pixels) { return static_cast<Size>(pixels * kOversample * 64); }

  static void load(FT_Face face, Size size, char32_t code, FT_Int32 flags) {
    FT_Set_Char_Size(face, 0, size, 72, 72);
    if (FT_Get_Char_Index(face, code) == 0 || FT_Load_Char(face, code, flags | FT_LOAD_NO_HINTING) != 0)
      reject("the font has no glyph for a letter of the sign's word");
  }
  // Oversampled pixels.
  static double advance(FT_Face face, Size size, char32_t code) {
    load(face, size, code, FT_LOAD_DEFAULT);
    return static_cast<double>(face->glyph->linearHoriAdvance) / 65536;
  }
  static double cap_height(FT_Face face, Size size) {
    load(face, size, U'H', FT_LOAD_DEFAULT);
    return static_cast<double>(face->glyph->metrics.height) / 64;
  }

  const Glyph& glyph(FT_Face face, Size size, char32_t code) {
    auto found = glyphs.find({face, size, code});
    if (found != glyphs.end()) return found->second;
    load(face, size, code, FT_LOAD_RENDER);
    const FT_GlyphSlot slot = face->glyph;
    Glyph glyph{slot->bitmap_left, slot->bitmap_top, static_cast<int>(slot->bitmap.width), static_cast<int>(slot->bitmap.rows), {}};
    for (std::ptrdiff_t y = 0; y < glyph.height; ++y) {
      const unsigned char* row = slot->bitmap.buffer + y * slot->bitmap.pitch;
      glyph.alpha.insert(glyph.alpha.end(), row, row + glyph.width);
    }
    return glyphs.emplace(std::tuple{face, size, code}, std::move(glyph)).first->second;
  }
};

SignRenderer::~SignRenderer() = default;

SignRenderer::SignRenderer(const std::filesystem::path& fonts) : fonts_(std::make_unique<Fonts>()) {
  if (FT_Init_FreeType(&fonts_->library) != 0) reject("FreeType does not start");
  const std::array names{"DejaVuSansMono-Bold.ttf", "DejaVuSansMono-BoldOblique.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif-Bold.ttf"};
  for (size_t i = 0; i < names.size(); ++i) {
    const auto file = fonts / names[i];
    if (FT_New_Face(fonts_->library, file.c_str(), 0, &fonts_->faces[i]) != 0)
      reject("cannot read the font", file.string(), "Debian's packages fonts-dejavu-core and fonts-dejavu-extra have it");
  }
}

SignImage SignRenderer::render(const SignSpec& spec) const {
  const auto& colours = sign_colours();
  const auto wall = colours.at(static_cast<size_t>(spec.wall)).rgb, sign = colours.at(static_cast<size_t>(spec.sign)).rgb;
  const double top = kTop + kRowStep * spec.row, bottom = top + kHeight, radius = spec.round ? kRadius : 0;

  // Text coverage, oversampled in a buffer of its own and averaged down.
  constexpr size_t kSide = kSize;
  std::array<double, kSide * kSide> ink{};
  auto ink_at = [&](int x, int y) -> double& { return ink[static_cast<size_t>(y) * kSide + static_cast<size_t>(x)]; };
  TextBox box;
  if (!spec.word.empty()) {
    const auto letters = decode_utf8(spec.word);
    const FT_Face face = fonts_->face(spec.style.font);
    auto size = Fonts::size_of(spec.style.size);
    auto width_of = [&] {
      double sum = 0;
      for (char32_t letter : letters) sum += Fonts::advance(face, size, letter);
      return sum;
    };
    constexpr double kShrink = 0.5;
    auto fits = [&] { return width_of() <= kTextWidth * kOversample && Fonts::cap_height(face, size) <= kTextHeight * kOversample; };
    for (double smaller = spec.style.size - kShrink; !fits() && smaller > kShrink; smaller -= kShrink) size = Fonts::size_of(smaller);
    const double width = width_of(), cap_height = Fonts::cap_height(face, size);
    const double room_x = std::max(0.0, kTextWidth * kOversample - width) / 2, room_y = std::max(0.0, kTextHeight * kOversample - cap_height) / 2;
    double pen = (kLeft + kRight) / 2 * kOversample - width / 2 + std::clamp(spec.style.dx * kOversample, -room_x, room_x);
    const double baseline = (top + bottom) / 2 * kOversample + cap_height / 2 + std::clamp(spec.style.dy * kOversample, -room_y, room_y);
    box = {kSize, kSize, 0, 0};
    for (char32_t letter : letters) {
      const auto& glyph = fonts_->glyph(face, size, letter);
      const int x0 = static_cast<int>(std::lround(pen)) + glyph.left, y0 = static_cast<int>(std::lround(baseline)) - glyph.top;
      for (int y = 0; y < glyph.height; ++y) {
        for (int x = 0; x < glyph.width; ++x) {
          const int px = (x0 + x) / kOversample, py = (y0 + y) / kOversample;
          if (x0 + x < 0 || y0 + y < 0 || px >= kSize || py >= kSize) continue;
          const size_t at = static_cast<size_t>(y) * static_cast<size_t>(glyph.width) + static_cast<size_t>(x);
          ink_at(px, py) += glyph.alpha[at] / (255.0 * kOversample * kOversample);
          box = {std::min(box.left, px), std::min(box.top, py), std::max(box.right, px + 1), std::max(box.bottom, py + 1)};
        }
      }
      pen += Fonts::advance(face, size, letter);
    }
  }
  const auto& ink_colour = sign[0] + sign[1] + sign[2] > 380 ? kDarkInk : kLightInk;

  SignImage image{torch::empty({3, kSize, kSize}, torch::kUInt8), box};
  auto pixels = image.pixels.accessor<std::uint8_t, 3>();
  for (int y = 0; y < kSize; ++y) {
    for (int x = 0; x < kSize; ++x) {
      const double distance = rounded_rectangle(x + 0.5, y + 0.5, kLeft, top, kRight, bottom, radius);
      const double outer = coverage(distance), inner = coverage(distance + kOutline), text = std::min(1.0, ink_at(x, y));
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

SignImage SignRenderer::render(const SignSpec& spec, std::int64_t side) const {
  SignImage image = render(spec);
  if (side == kSize) return image;
  const auto factor = static_cast<int>(kSize / side);
  image.pixels = at::avg_pool2d(image.pixels.to(torch::kFloat32).unsqueeze(0), factor)[0].round().to(torch::kUInt8);
  const TextBox& box = image.text;
  image.text = {box.left / factor, box.top / factor, (box.right + factor - 1) / factor, (box.bottom + factor - 1) / factor};
  return image;
}

nlohmann::ordered_json SignData::to_json() const {
  return {{"styles", styles == SignStyles::varied ? "varied" : "plain"}, {"letters", {shortest, longest}}, {"text_size", text_size}, {"side", side}};
}

SignData SignData::parse(const Config& recipe) {
  SignData out;
  if (!recipe.has("data")) return out;
  const Config data(recipe.json().at("data"), recipe.where());
  const auto letters = data.integers("letters", 2, 3);
  out.shortest = static_cast<int>(letters[0]);
  out.longest = static_cast<int>(letters[1]);
  out.styles = data.text("styles", "varied") == "plain" ? SignStyles::plain : SignStyles::varied;
  out.text_size = data.number("text_size", out.text_size);
  out.side = data.size("side", SignRenderer::kSize, 8, SignRenderer::kSize);
  if (SignRenderer::kSize % out.side != 0) reject("signs are 64 pixels a side or a whole fraction of it, not " + std::to_string(out.side), recipe.where());
  return out;
}

SignSampler::SignSampler(std::vector<std::string> words, std::set<std::string> held_out, const SignData& data, double blank_share)
    : words_(std::move(words)), held_out_(std::move(held_out)), data_(data), blank_share_(blank_share) {
  std::erase_if(words_, [&](const std::string& word) {
    const auto letters = static_cast<int>(word.size());
    return letters < data_.shortest || letters > data_.longest;
  });
  if (words_.empty()) reject("the word list of the sign data set has no word of the lengths that are asked for");
}

SignSpec SignSampler::with_word(const std::string& word, Choice& choice, const SignData& data) {
  SignSpec spec;
  const int colours = static_cast<int>(sign_colours().size());
  spec.round = choice.below(2) == 1;
  spec.sign = choice.below(colours);
  spec.wall = (spec.sign + 1 + choice.below(colours - 1)) % colours;
  spec.row = choice.below(4);
  spec.word = word;
  spec.style.size = data.text_size;
  if (data.styles == SignStyles::varied) {
    constexpr int kShift = 4;  // pixels: half of what a latent of the demo models covers
    spec.style.font = choice.below(2) == 0 ? TextStyle::Font::mono : TextStyle::Font::oblique;
    spec.style.dx = kShift * (choice.below(3) - 1);
    spec.style.dy = kShift * (choice.below(3) - 1);
  }
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
        const int length = data_.shortest + choice.below(data_.longest - data_.shortest + 1);
        for (int i = 0; i < length; ++i) word += static_cast<char>('A' + choice.below(26));
      }
    } while (held_out_.contains(word));
  }
  return with_word(word, choice, data_);
}

SignAttributes read_sign_attributes(const torch::Tensor& image) {
  // A smaller picture's pixels stand for several each.
  const std::int64_t times = std::max<std::int64_t>(1, SignRenderer::kSize / image.size(1));
  const torch::Tensor contiguous = image.repeat_interleave(times, 1).repeat_interleave(times, 2).contiguous();
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
  // Of a smaller picture the frame takes a column more.
  const std::vector<int> beside = times == 1 ? std::vector{3, 60} : std::vector{4, 5, 58, 59}, corner = times == 1 ? std::vector{1, 2} : std::vector{0};
  for (int y = 28; y <= 39; ++y)
    for (int x : beside) sign.emplace_back(y, x);
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
  // A pixel or two inside its corners a square sign shows its colour, a round one the wall. A smaller picture's pixel there holds
  // the frame too: three quarters of it.
  std::array<int, 3> square = colours[static_cast<size_t>(out.sign)].rgb;
  if (times > 1)
    for (size_t c = 0; c < 3; ++c) square[c] = (3 * kOutlineColour[c] + square[c]) / 4;
  auto from_square = [&](int y, int x) {
    int sum = 0;
    for (int c = 0; c < 3; ++c) sum += std::abs(pixels[c][y][x] - square[static_cast<size_t>(c)]);
    return sum;
  };
  int wall_like = 0, total = 0;
  for (int dy : corner) {
    for (int dx : corner) {
      for (auto [y, x] : {std::pair{top + dy, 2 + dx}, {top + dy, 61 - dx}, {top + 31 - dy, 2 + dx}, {top + 31 - dy, 61 - dx}}) {
        wall_like += distance(y, x, out.wall) < from_square(y, x);
        ++total;
      }
    }
  }
  out.round = wall_like * 2 > total;
  return out;
}

}  // namespace glyphscope
