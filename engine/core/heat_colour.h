#pragma once

#include <algorithm>
#include <array>
#include <cmath>

namespace glyphscope {

/// A perceptually even scale from dark violet over green to yellow for values in [0, 1]: matplotlib's viridis, interpolated
/// between its colours at 0, 1/8, .. 1. Values outside are clamped; what is not finite is 0. Red, green, blue, 0 to 255.
inline std::array<int, 3> heat_rgb(double value) {
  constexpr std::array<int, 3> kStops[] = {{68, 1, 84},    {71, 44, 122}, {59, 81, 139},  {44, 113, 142}, {33, 144, 141},
                                           {39, 173, 129}, {92, 200, 99}, {170, 220, 50}, {253, 231, 37}};
  constexpr int kLast = 8;
  const double at = std::clamp(std::isfinite(value) ? value : 0.0, 0.0, 1.0) * kLast;
  const int low = std::min(static_cast<int>(at), kLast - 1);
  std::array<int, 3> out{};
  for (size_t c = 0; c < 3; ++c) out[c] = static_cast<int>(std::lround(kStops[low][c] + (at - low) * (kStops[low + 1][c] - kStops[low][c])));
  return out;
}

}  // namespace glyphscope
