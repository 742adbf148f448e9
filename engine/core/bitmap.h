#pragma once

#include <cstdint>
#include <vector>

namespace glyphscope {

/// A picture's pixels: rows from the top, red, green and blue of each.
struct Bitmap {
  int width = 0, height = 0;
  std::vector<std::uint8_t> rgb;  ///< height x width x 3
};

}  // namespace glyphscope
