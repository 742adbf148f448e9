#include "core/colour_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "io/files.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {
using testing::failure_of;
using ::testing::HasSubstr;

std::vector<ColourMap> all_maps() {
  std::vector<ColourMap> out;
  for (const auto& name : colour_map_names()) out.push_back(colour_map_of(name));
  return out;
}

double linear(double value) { return value <= 0.04045 ? value / 12.92 : std::pow((value + 0.055) / 1.055, 2.4); }

// How light a colour is (L* of CIELAB) for an eye that sees by `matrix` of linear red, green and blue.
double lightness(const Colour& colour, const std::array<std::array<double, 3>, 3>& matrix) {
  double y = 0;
  constexpr double kLuminance[] = {0.2126, 0.7152, 0.0722};
  for (size_t row = 0; row < 3; ++row) {
    double value = 0;
    for (size_t column = 0; column < 3; ++column) value += matrix[row][column] * linear(colour[column] / 255.0);
    y += kLuminance[row] * std::clamp(value, 0.0, 1.0);
  }
  return y > 216.0 / 24389 ? 116 * std::cbrt(y) - 16 : y * 24389 / 27;
}

// Source: Machado, Oliveira and Fernandes 2009, severity 1: protanopia, deuteranopia, tritanopia.
constexpr std::array<std::array<double, 3>, 3> kEyes[] = {
    {{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}},
    {{{0.152286, 1.052583, -0.204868}, {0.114503, 0.786281, 0.099216}, {-0.003882, -0.048116, 1.051998}}},
    {{{0.367322, 0.860646, -0.227968}, {0.280085, 0.672501, 0.047413}, {-0.011820, 0.042940, 0.968881}}},
    {{{1.255528, -0.076749, -0.178779}, {-0.078411, 0.930809, 0.147602}, {0.004733, 0.691367, 0.303900}}}};

TEST(ColourMaps, AreMatplotlibs) {
  const auto golden = read_json(testing::golden("colours.json"));
  ASSERT_EQ(golden.size(), colour_map_names().size());
  for (const auto& [name, colours] : golden.items())
    for (size_t i = 0; i < colours.size(); ++i) {
      const Colour ours = colour_of(colour_map_of(name), static_cast<double>(i) / 64), theirs = colours[i].get<Colour>();
      // 17 of its 256 colours are ours, and straight lines between them.
      const int most = i % 4 == 0 ? 1 : 12;
      for (size_t c = 0; c < 3; ++c) EXPECT_NEAR(ours[c], theirs[c], most) << name << " " << i;
    }
}

TEST(ColourMaps, RiseInLightnessForEveryEyeOrSayThatTheyDoNot) {
  for (const ColourMap map : all_maps()) {
    if (map == ColourMap::difference) continue;
    bool rises = true;
    for (const auto& eye : kEyes)
      for (int i = 0; i < 32; ++i) rises &= lightness(colour_of(map, (i + 1) / 32.0), eye) > lightness(colour_of(map, i / 32.0), eye);
    EXPECT_EQ(rises, colour_warning(map).empty()) << to_string(map);
  }
  // What has a middle is lightest there, and its ends are told apart.
  for (const auto& eye : kEyes)
    for (int i = 0; i < 16; ++i) {
      EXPECT_LT(lightness(colour_of(ColourMap::difference, i / 32.0), eye), lightness(colour_of(ColourMap::difference, (i + 1) / 32.0), eye)) << i;
      EXPECT_LT(lightness(colour_of(ColourMap::difference, 1 - i / 32.0), eye), lightness(colour_of(ColourMap::difference, 1 - (i + 1) / 32.0), eye)) << i;
    }
}

TEST(ColourMaps, LetInkBeReadOnEveryColour) {
  for (const ColourMap map : all_maps())
    for (int i = 0; i <= 100; ++i) {
      const Colour back = colour_of(map, i / 100.0);
      EXPECT_GE(contrast(back, ink_on(back)), 4.5) << to_string(map) << " " << i;
    }
  EXPECT_NEAR(contrast({0, 0, 0}, {255, 255, 255}), 21, 1e-9);
  EXPECT_NEAR(contrast({118, 118, 118}, {255, 255, 255}), 4.54, 0.005);  // WCAG's well-known grey
}

TEST(ColourMaps, ClampWhatLiesOutside) {
  EXPECT_EQ(colour_of(ColourMap::viridis, -3), colour_of(ColourMap::viridis, 0));
  EXPECT_EQ(colour_of(ColourMap::viridis, 7), colour_of(ColourMap::viridis, 1));
  EXPECT_EQ(colour_of(ColourMap::turbo, std::nan("")), colour_of(ColourMap::turbo, 0));
  EXPECT_THAT(failure_of([] { colour_map_of("jet"); }), ::testing::AllOf(HasSubstr("'jet'"), HasSubstr("viridis, cividis")));
}

}  // namespace
}  // namespace glyphscope
