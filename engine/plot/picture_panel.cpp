#include <algorithm>
#include <cmath>

#include "plot/panels.h"

namespace glyphscope {

namespace {

constexpr double kBetweenPictures = 0.8;                        // em
constexpr double kSmallestPicture = 96, kLargestPicture = 230;  // points

double picture_names(const PlotPen& pen, const PicturePanel& panel) {
  double out = 0;
  for (const auto& name : panel.row_names) out = std::max(out, Canvas::text_width(name, pen.font()));
  return out > 0 ? out + pen.em() : 0;
}

size_t most_in_a_row(const PicturePanel& panel) {
  size_t out = 1;
  for (const auto& row : panel.rows) out = std::max(out, row.size());
  return out;
}

}  // namespace

double natural_width(const PlotPen& pen, const PicturePanel& panel) {
  int widest = 1;
  for (const auto& row : panel.rows)
    for (const auto& one : row) widest = std::max(widest, one.image.width);
  const auto across = static_cast<double>(most_in_a_row(panel));
  // Of many in a row each is smaller, down to what letters in them can be read at.
  const double each = std::max(kSmallestPicture, std::min(std::clamp<double>(widest, kSmallestPicture, kLargestPicture), 4 * kLargestPicture / across));
  return picture_names(pen, panel) + across * each + (across - 1) * kBetweenPictures * pen.em();
}

double draw_panel(const PlotPen& pen, const PicturePanel& panel, const Point& at, double width) {
  const double em = pen.em(), between = kBetweenPictures * em, names = std::min(picture_names(pen, panel), 0.4 * width);
  // As many beside each other as can be seen; the others of a row below.
  constexpr double kLeast = 5;  // em
  const double room = std::max(1.0, width - names);
  const auto most = std::max<size_t>(1, static_cast<size_t>((room + between) / (kLeast * em + between)));
  const size_t across = std::min(most_in_a_row(panel), most);
  const double each = (room - static_cast<double>(across - 1) * between) / static_cast<double>(across);
  double y = at.y;
  std::vector<std::pair<size_t, std::vector<PicturePanel::Picture>>> rows;  // and which of the panel's each is of
  for (size_t r = 0; r < panel.rows.size(); ++r)
    for (size_t first = 0; first < panel.rows[r].size(); first += across)
      rows.emplace_back(
          first == 0 ? r : panel.rows.size(),
          std::vector<PicturePanel::Picture>(panel.rows[r].begin() + static_cast<std::ptrdiff_t>(first),
                                             panel.rows[r].begin() + static_cast<std::ptrdiff_t>(std::min(first + across, panel.rows[r].size()))));
  for (const auto& [r, row] : rows) {
    double tallest = 0, captions = 0;
    for (const auto& one : row) {
      tallest = std::max(tallest, one.image.width > 0 ? each * one.image.height / one.image.width : 0);
      captions = std::max(captions, Canvas::paragraph_height(one.caption, each, pen.font(0.9)));
    }
    double x = at.x + names;
    for (const auto& one : row) {
      if (one.image.width > 0) {
        const double tall = each * one.image.height / one.image.width;
        // A small picture's pixels stay squares, as in the window.
        constexpr int kSmall = 160;
        pen.canvas.image(one.image, {x, y, each, tall}, one.image.width > kSmall);
        pen.canvas.outline({x, y, each, tall}, pen.ink.grid, 0.4);
      }
      pen.canvas.paragraph(one.caption, {x, y + tallest + 0.3 * em}, each, pen.font(0.9), pen.ink.ink, Canvas::Align::centre);
      x += each + between;
    }
    if (r < panel.row_names.size() && names > 0)
      pen.canvas.text(Canvas::shortened(panel.row_names[r], pen.font(), names - em), {at.x + names - em, y + tallest / 2 + 0.36 * em}, pen.font(), pen.ink.ink,
                      Canvas::Align::right);
    y += tallest + (captions > 0 ? captions + 0.3 * em : 0) + between;
  }
  return std::max(0.0, y - between - at.y);
}

}  // namespace glyphscope
