#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/bitmap.h"
#include "core/colour_map.h"

typedef struct _cairo cairo_t;  // NOLINT(bugprone-reserved-identifier): cairo calls it so

namespace glyphscope {

struct Point {
  double x = 0, y = 0;
};
struct Extent {
  double width = 0, height = 0;
};
struct Rectangle {
  double left = 0, top = 0, width = 0, height = 0;
};

/// A drawing without a display, in points (1/72 inch) from its top left, of no size of its own: what is drawn is kept, and written as pixels, SVG or PDF by
/// one code path (cairo; text by Pango, in any script that the machine has letters for).
class Canvas {
 public:
  enum class Align { left, centre, right };
  struct Font {
    double size = 9;  ///< Points.
    bool bold = false;
    std::filesystem::path file;  ///< Of letters; else DejaVu Sans, and whatever has what it lacks.
  };
  enum class Mark { disc, square, diamond, triangle };

  void fill(const Rectangle& where, const Colour& colour);
  void outline(const Rectangle& where, const Colour& colour, double width = 0.6);
  /// Lines from lower left to upper right.
  void hatch(const Rectangle& where, const Colour& colour);
  /// dashes: lengths of what is drawn and left out, in turn.
  void line(const std::vector<Point>& points, const Colour& colour, double width = 0.6, const std::vector<double>& dashes = {});
  void mark(const Point& centre, Mark mark, double size, const Colour& colour);
  /// Stretched; smooth: else its pixels stay squares.
  void image(const Bitmap& image, const Rectangle& where, bool smooth);
  /// One line; upwards: turned to read from below, about the given point.
  void text(const std::string& text, const Point& baseline, const Font& font, const Colour& colour, Align align = Align::left, bool upwards = false);
  /// Broken into lines of this width. Returns its height.
  double paragraph(const std::string& text, const Point& top_left, double width, const Font& font, const Colour& colour, Align align = Align::left);

  static double text_width(const std::string& text, const Font& font);
  /// As much of the text as fits into the width, with an ellipsis where some does not.
  static std::string shortened(const std::string& text, const Font& font, double width);
  static double paragraph_height(const std::string& text, double width, const Font& font);

  /// scale: pixels a point.
  Bitmap pixels(const Extent& size, double scale, const Colour& background) const;
  /// metadata: kept in the file, in <metadata>; "" for none.
  std::string svg(const Extent& size, const Colour& background, const std::string& title, const std::string& metadata) const;
  std::string pdf(const Extent& size, const Colour& background, const std::string& title, const std::string& metadata) const;

 private:
  void play(cairo_t* cairo, const Extent& size, const Colour& background) const;

  std::vector<std::function<void(cairo_t*)>> drawn_;
};

}  // namespace glyphscope
