#include <algorithm>
#include <cmath>

#include "plot/panels.h"

namespace glyphscope {

double natural_width(const PlotPen& pen, const MapPanel& panel) {
  // As large as its smallest cell needs to hold its name.
  double narrowest = INFINITY, widest = 1;
  for (const auto& cell : panel.cells)
    narrowest = std::min(narrowest, cell.width), widest = std::max(widest, Canvas::text_width(cell.name, pen.font(0.8)) + 0.6 * pen.em());
  const double fitting = std::isfinite(narrowest) && narrowest > 0 ? panel.width * widest / narrowest : 0;
  return std::clamp(fitting, 30 * pen.em(), 80 * pen.em());
}

double draw_panel(const PlotPen& pen, const MapPanel& panel, const Point& at, double width) {
  if (panel.width <= 0) return 0;
  const double scale = width / panel.width, em = pen.em();
  for (const auto& label : panel.labels) {
    const double size = std::clamp(label.height * scale * 0.9, 0.6 * em, 0.9 * em);
    const Canvas::Font font{size, false, {}};
    pen.canvas.text(Canvas::shortened(label.text, font, label.width * scale),
                    {at.x + (label.left + label.width / 2) * scale, at.y + (label.top + label.height / 2) * scale + 0.36 * size}, font, pen.ink.soft,
                    Canvas::Align::centre);
  }
  for (const auto& cell : panel.cells) {
    const Rectangle where{at.x + cell.left * scale, at.y + cell.top * scale, cell.width * scale, cell.height * scale};
    const Colour colour = cell.value ? colour_of(panel.colours.value_or(pen.style.colours),
                                                 panel.high > panel.low ? (cell.value->mean - panel.low) / (panel.high - panel.low) : 0)
                                     : pen.ink.grid,
                 letters = ink_on(colour);
    pen.canvas.fill(where, colour);
    if (cell.hatched) pen.canvas.hatch(where, letters);
    if (cell.marked) pen.canvas.outline(where, pen.ink.ink, 1.6);
    double size = std::min(0.85 * em, where.height * 0.75);
    if (const double wide = Canvas::text_width(cell.name, {size, cell.marked, {}}); wide > where.width - 1) size *= (where.width - 1) / wide;
    if (size >= 2.5)
      pen.canvas.text(cell.name, {where.left + where.width / 2, where.top + where.height / 2 + 0.36 * size}, {size, cell.marked, {}}, letters,
                      Canvas::Align::centre);
  }
  return panel.height * scale;
}

}  // namespace glyphscope
