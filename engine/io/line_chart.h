#pragma once

#include <torch/types.h>

#include <string>
#include <utility>
#include <vector>

#include "io/canvas.h"

namespace glyphscope {

/// Lines over steps, drawn without a display.
struct LineChart {
  struct Line {
    std::string name;  ///< For the legend; without one, if there is only this line.
    Colour colour{33, 102, 172};
    std::vector<std::pair<double, double>> points;  ///< (step, value) by rising step; on a logarithmic axis only values over 0 are drawn.
  };
  std::string title;
  std::vector<Line> lines;
  bool logarithmic = false;  ///< Else from 0 to 1: shares.

  /// [3, 300, 560] uint8.
  torch::Tensor draw() const;
};

}  // namespace glyphscope
