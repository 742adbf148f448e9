#pragma once

#include <torch/types.h>

#include <array>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace glyphscope {

using Colour = std::array<int, 3>;

/// A picture to draw figures on without a display: rectangles, images and text.
class Canvas {
 public:
  /// Without the font's file, text is not drawn.
  Canvas(int width, int height, Colour background, const std::filesystem::path& font = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf");
  ~Canvas();

  void fill(int left, int top, int width, int height, Colour colour);
  /// image: [3, H, W] uint8, enlarged by a whole factor without smoothing.
  void draw(const torch::Tensor& image, int left, int top, int factor = 1);
  enum class Align { left, centre, right };
  /// `baseline` is the y of the text's baseline.
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

/// Images of equal size, [3, H, W] uint8 each, in rows of `columns`; small ones enlarged without smoothing.
torch::Tensor contact_sheet(const std::vector<torch::Tensor>& images, int columns);

}  // namespace glyphscope
