#include "io/canvas.h"

#include <ft2build.h>
#include <torch/types.h>
#include FT_FREETYPE_H

#include <algorithm>
#include <cmath>

#include "core/unicode.h"

namespace glyphscope {

struct Canvas::Font {
  FT_Library library = nullptr;
  FT_Face face = nullptr;
  explicit Font(const std::filesystem::path& file) {
    if (FT_Init_FreeType(&library) == 0 && FT_New_Face(library, file.c_str(), 0, &face) != 0) face = nullptr;
  }
  ~Font() {
    if (face) FT_Done_Face(face);
    if (library) FT_Done_FreeType(library);
  }
};

Canvas::~Canvas() = default;

Canvas::Canvas(int width, int height, Colour background, const std::filesystem::path& font)
    : image_(torch::empty({3, height, width}, torch::kUInt8)), font_(std::make_unique<Font>(font)) {
  fill(0, 0, width, height, background);
}

int Canvas::width() const { return static_cast<int>(image_.size(2)); }
int Canvas::height() const { return static_cast<int>(image_.size(1)); }

void Canvas::fill(int left, int top, int w, int h, Colour colour) {
  const int x0 = std::clamp(left, 0, width()), x1 = std::clamp(left + w, 0, width()), y0 = std::clamp(top, 0, height()), y1 = std::clamp(top + h, 0, height());
  for (std::int64_t c = 0; c < 3; ++c) image_[c].slice(0, y0, y1).slice(1, x0, x1).fill_(colour[static_cast<size_t>(c)]);
}

void Canvas::draw(const torch::Tensor& image, int left, int top, int factor) {
  const torch::Tensor large = image.repeat_interleave(factor, 1).repeat_interleave(factor, 2);
  const auto h = std::min<std::int64_t>(large.size(1), height() - top), w = std::min<std::int64_t>(large.size(2), width() - left);
  if (h > 0 && w > 0) image_.slice(1, top, top + h).slice(2, left, left + w).copy_(large.slice(1, 0, h).slice(2, 0, w));
}

int Canvas::text_width(const std::string& text, int size) {
  if (!font_->face) return 0;
  FT_Set_Pixel_Sizes(font_->face, 0, static_cast<FT_UInt>(size));
  long sum = 0;
  for (char32_t code : decode_utf8(text))
    if (FT_Load_Char(font_->face, code, FT_LOAD_DEFAULT) == 0) sum += font_->face->glyph->advance.x;
  return static_cast<int>(sum / 64);
}

void Canvas::text(const std::string& text, int x, int baseline, int size, Colour colour, Align align) {
  if (!font_->face) return;
  if (align != Align::left) x -= align == Align::right ? text_width(text, size) : text_width(text, size) / 2;
  FT_Set_Pixel_Sizes(font_->face, 0, static_cast<FT_UInt>(size));
  auto pixels = image_.accessor<std::uint8_t, 3>();
  for (char32_t code : decode_utf8(text)) {
    if (FT_Load_Char(font_->face, code, FT_LOAD_RENDER) != 0) continue;
    const FT_GlyphSlot glyph = font_->face->glyph;
    for (int row = 0; row < static_cast<int>(glyph->bitmap.rows); ++row) {
      for (int column = 0; column < static_cast<int>(glyph->bitmap.width); ++column) {
        const int px = x + glyph->bitmap_left + column, py = baseline - glyph->bitmap_top + row;
        if (px < 0 || py < 0 || px >= width() || py >= height()) continue;
        const int alpha = glyph->bitmap.buffer[row * glyph->bitmap.pitch + column];
        for (size_t c = 0; c < 3; ++c) {
          auto& value = pixels[static_cast<std::int64_t>(c)][py][px];
          value = static_cast<std::uint8_t>((value * (255 - alpha) + colour[c] * alpha + 127) / 255);
        }
      }
    }
    x += static_cast<int>(glyph->advance.x / 64);
  }
}

torch::Tensor contact_sheet(const std::vector<torch::Tensor>& images, int columns) {
  if (images.empty()) return torch::zeros({3, 1, 1}, torch::kUInt8);
  const int count = static_cast<int>(images.size()), across = std::min(columns, count);
  const int h = static_cast<int>(images[0].size(1)), w = static_cast<int>(images[0].size(2)), factor = std::max(1, 128 / w);
  Canvas canvas(across * w * factor, (count + across - 1) / across * h * factor, {255, 255, 255});
  for (int i = 0; i < count; ++i) canvas.draw(images[static_cast<size_t>(i)], i % across * w * factor, i / across * h * factor, factor);
  return canvas.image().clone();
}

}  // namespace glyphscope
