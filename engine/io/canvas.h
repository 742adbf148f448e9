#pragma once

#include <torch/types.h>

#include <array>
#include <memory>
#include <string>

namespace glyphscope {

using Colour = std::array<int, 3>;

/// A picture to draw figures on without a display: rectangles, images and text.
class Canvas {
 public:
  Canvas(int width, int height, Colour background);
  ~Canvas();

  void fill(int left, int top, int width, int height, Colour colour);
  /// image: [3, H, W] uint8, enlarged by a whole factor without smoothing.
  void draw(const torch::Tensor& image, int left, int top, int factor = 1);
  enum class Align { left, centre, right };
  /// Text in DejaVu Sans; `baseline` is the y of its baseline. With the font missing nothing is drawn.
  void text(const std::string& text, int x, int baseline, int size, Colour colour, Align align = Align::left);
  int text_width(const std::string& text, int size);

  int width() const;
  int height() const;
  /// [3, height, width] uint8; shares the canvas's memory.
  const torch::Tensor& image() const { return image_; }

 private:
  struct Font;
  torch::Tensor image_;
  std::unique_ptr<Font> font_;
};

}  // namespace glyphscope
