#include "core/colour_map.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace glyphscope {

namespace {

constexpr int kLast = 16;
using Stops = std::array<Colour, kLast + 1>;

constexpr Stops kViridis{{{68, 1, 84},
                          {72, 24, 106},
                          {71, 45, 123},
                          {66, 64, 134},
                          {59, 82, 139},
                          {51, 99, 141},
                          {44, 114, 142},
                          {38, 130, 142},
                          {33, 145, 140},
                          {31, 160, 136},
                          {40, 174, 128},
                          {63, 188, 115},
                          {94, 201, 98},
                          {132, 212, 75},
                          {173, 220, 48},
                          {216, 226, 25},
                          {253, 231, 37}}};
constexpr Stops kCividis{{{0, 34, 78},
                          {0, 46, 106},
                          {26, 56, 111},
                          {50, 67, 109},
                          {67, 78, 108},
                          {83, 90, 109},
                          {97, 101, 111},
                          {111, 112, 115},
                          {125, 124, 120},
                          {140, 136, 120},
                          {155, 148, 118},
                          {171, 160, 114},
                          {188, 174, 108},
                          {205, 187, 99},
                          {222, 201, 88},
                          {240, 216, 70},
                          {254, 232, 56}}};
constexpr Stops kMagma{{{0, 0, 4},
                        {10, 8, 34},
                        {29, 17, 71},
                        {54, 16, 107},
                        {81, 18, 124},
                        {106, 28, 129},
                        {131, 38, 129},
                        {156, 46, 127},
                        {183, 55, 121},
                        {208, 65, 111},
                        {231, 82, 99},
                        {245, 107, 92},
                        {252, 137, 97},
                        {254, 167, 114},
                        {254, 196, 136},
                        {253, 226, 163},
                        {252, 253, 191}}};
constexpr Stops kTurbo{{{48, 18, 59},
                        {64, 64, 162},
                        {70, 107, 227},
                        {66, 148, 255},
                        {40, 188, 235},
                        {24, 221, 194},
                        {50, 242, 152},
                        {109, 254, 98},
                        {164, 252, 60},
                        {205, 236, 52},
                        {238, 207, 58},
                        {253, 172, 52},
                        {251, 126, 33},
                        {235, 80, 14},
                        {208, 47, 5},
                        {169, 22, 1},
                        {122, 4, 3}}};
constexpr Stops kDifference{{{5, 48, 97},
                             {23, 82, 144},
                             {42, 113, 178},
                             {63, 142, 192},
                             {107, 172, 209},
                             {155, 201, 224},
                             {194, 221, 236},
                             {224, 236, 243},
                             {247, 246, 246},
                             {251, 229, 216},
                             {251, 204, 180},
                             {245, 170, 137},
                             {228, 128, 102},
                             {208, 85, 72},
                             {186, 40, 50},
                             {147, 14, 38},
                             {103, 0, 31}}};

struct NamedMap {
  ColourMap map;
  const char* name;
};
constexpr NamedMap kColourMapNames[] = {{ColourMap::viridis, "viridis"}, {ColourMap::cividis, "cividis"}, {ColourMap::magma, "magma"},
                                        {ColourMap::grey, "grey"},       {ColourMap::turbo, "turbo"},     {ColourMap::difference, "difference"}};

const Stops& stops_of(ColourMap map) {
  switch (map) {
    case ColourMap::cividis:
      return kCividis;
    case ColourMap::magma:
      return kMagma;
    case ColourMap::turbo:
      return kTurbo;
    case ColourMap::difference:
      return kDifference;
    default:
      return kViridis;
  }
}

// Source: WCAG 2.2, relative luminance.
double luminance(const Colour& colour) {
  const auto linear = [](int value) {
    const double share = value / 255.0;
    return share <= 0.04045 ? share / 12.92 : std::pow((share + 0.055) / 1.055, 2.4);
  };
  return 0.2126 * linear(colour[0]) + 0.7152 * linear(colour[1]) + 0.0722 * linear(colour[2]);
}

}  // namespace

Colour colour_of(ColourMap map, double value) {
  const double share = std::clamp(std::isfinite(value) ? value : 0.0, 0.0, 1.0);
  if (map == ColourMap::grey) {
    const int level = static_cast<int>(std::lround(255 * share));
    return {level, level, level};
  }
  const Stops& stops = stops_of(map);
  const auto low = static_cast<size_t>(std::min(static_cast<int>(share * kLast), kLast - 1));
  const double rest = share * kLast - static_cast<double>(low);
  Colour out{};
  for (size_t c = 0; c < 3; ++c) out[c] = static_cast<int>(std::lround(stops[low][c] + rest * (stops[low + 1][c] - stops[low][c])));
  return out;
}

double contrast(const Colour& a, const Colour& b) {
  const auto [dark, light] = std::minmax({luminance(a), luminance(b)});
  return (light + 0.05) / (dark + 0.05);
}

Colour ink_on(const Colour& background) {
  constexpr Colour kBlack{0, 0, 0}, kWhite{255, 255, 255};
  return contrast(background, kBlack) >= contrast(background, kWhite) ? kBlack : kWhite;
}

std::string to_string(ColourMap map) {
  return std::find_if(std::begin(kColourMapNames), std::end(kColourMapNames), [&](const NamedMap& one) { return one.map == map; })->name;
}

std::vector<std::string> colour_map_names() {
  std::vector<std::string> out;
  for (const auto& one : kColourMapNames) out.emplace_back(one.name);
  return out;
}

ColourMap colour_map_of(const std::string& name) {
  std::string all;
  for (const auto& one : kColourMapNames) {
    if (name == one.name) return one.map;
    all += (all.empty() ? "" : ", ") + std::string(one.name);
  }
  reject("there are no colours '" + name + "'", "colours", "There are " + all);
}

std::string colour_warning(ColourMap map) {
  return map == ColourMap::turbo ? "turbo's order is lost on readers who are colour-blind, and in grey: take viridis or cividis" : "";
}

}  // namespace glyphscope
