#pragma once

#include <torch/types.h>

#include <string>

#include "io/image_file.h"
#include "plot/canvas.h"

namespace glyphscope::test {

/// A page of so many pixels to write words on.
class DrawnPage {
 public:
  DrawnPage(int width, int height, Colour paper, std::filesystem::path font = {})
      : size_{static_cast<double>(width), static_cast<double>(height)}, paper_(paper), font_(std::move(font)) {}

  void text(const std::string& text, int x, int baseline, int size, Colour ink, Canvas::Align align = Canvas::Align::left) {
    canvas_.text(text, {static_cast<double>(x), static_cast<double>(baseline)}, {static_cast<double>(size), false, font_}, ink, align);
  }
  /// [3, height, width] uint8.
  torch::Tensor image() const { return to_tensor(canvas_.pixels(size_, 1, paper_)); }

 private:
  Canvas canvas_;
  Extent size_;
  Colour paper_;
  std::filesystem::path font_;
};

}  // namespace glyphscope::test
