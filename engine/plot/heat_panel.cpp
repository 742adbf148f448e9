#include <algorithm>
#include <cmath>
#include <cstdio>

#include "plot/panels.h"

namespace glyphscope {

namespace {

// All in em, a letter's size.
constexpr double kCell = 3.85, kRow = 2.45, kGap = 1.0, kApart = 1.4, kSmallest = 0.45;

std::string number_in_cell(double value) {
  char text[16];
  std::snprintf(text, sizeof text, "%.2f", value);
  return text;
}

double row_labels(const PlotPen& pen, const HeatPanel& panel) {
  double out = Canvas::text_width(panel.row_axis, pen.font());
  for (const auto& row : panel.rows) out = std::max(out, Canvas::text_width(row, pen.font()));
  return std::max(out, Canvas::text_width(panel.column_axis, pen.font()));
}

double apart_width(const PlotPen& pen, const HeatPanel& panel) { return panel.columns_apart > 0 ? kApart * pen.em() : 0; }

}  // namespace

double natural_width(const PlotPen& pen, const HeatPanel& panel) {
  double cell = kCell * pen.em();
  // Few columns with long names are wide; of many the names are turned.
  constexpr size_t kFew = 12;
  if (panel.columns.size() <= kFew)
    for (const auto& column : panel.columns) cell = std::max(cell, Canvas::text_width(column, pen.font()) + pen.em());
  return row_labels(pen, panel) + kGap * pen.em() + static_cast<double>(panel.columns.size()) * cell + apart_width(pen, panel);
}

double draw_panel(const PlotPen& pen, const HeatPanel& panel, const Point& at, double width) {
  const double em = pen.em();
  const auto rows = static_cast<int>(panel.rows.size()), columns = static_cast<int>(panel.columns.size());
  const double labels = std::min(row_labels(pen, panel), 0.45 * width);
  const double left = at.x + labels + kGap * em;
  const double cell = columns > 0 ? (at.x + width - left - apart_width(pen, panel)) / columns : 0, row = std::clamp(cell * 0.7, 1.35 * em, kRow * em);
  const double hair = std::min(0.5, cell / 8);
  const auto x = [&](int column) { return left + column * cell + (column >= columns - panel.columns_apart ? apart_width(pen, panel) : 0); };
  const double top = at.y + (panel.row_axis.empty() ? 0 : 1.4 * em);
  const auto y = [&](int index) { return top + index * row + (panel.rows_apart > 0 && index >= rows - panel.rows_apart ? 0.5 * em : 0); };
  // Numbers as large as the narrowest cell lets them be.
  const double digits = std::min(em, em * (cell - 2) / std::max(1.0, Canvas::text_width("0.00", pen.font())));
  const ColourMap colours = panel.colours.value_or(pen.style.colours);
  const auto share = [&](double value) { return panel.high > panel.low ? (value - panel.low) / (panel.high - panel.low) : 0; };
  pen.canvas.text(Canvas::shortened(panel.row_axis, pen.font(), labels), {left - kGap * em, at.y + em}, pen.font(), pen.ink.soft, Canvas::Align::right);
  for (int r = 0; r < rows; ++r) {
    const Canvas::Font font = pen.font();
    pen.canvas.text(Canvas::shortened(panel.rows[static_cast<size_t>(r)], font, labels), {left - kGap * em, y(r) + row / 2 + 0.36 * em}, font, pen.ink.ink,
                    Canvas::Align::right);
    const auto threshold = panel.thresholds.find(r);
    for (int c = 0; c < columns; ++c) {
      const auto& value = panel.values[static_cast<size_t>(r)][static_cast<size_t>(c)];
      const Rectangle where{x(c) + hair, y(r) + hair, cell - 2 * hair, row - 2 * hair};
      if (!value) {
        const bool inside = c < columns - panel.columns_apart;
        if (inside) pen.canvas.line({{x(c) + cell / 2 - 0.25 * em, y(r) + row / 2}, {x(c) + cell / 2 + 0.25 * em, y(r) + row / 2}}, pen.ink.soft);
        continue;
      }
      const Colour colour = colour_of(colours, share(value->mean)), letters = ink_on(colour);
      pen.canvas.fill(where, colour);
      if (threshold != panel.thresholds.end() && value->low && value->high && *value->low < threshold->second && *value->high >= threshold->second)
        pen.canvas.hatch(where, letters);
      if (digits >= kSmallest * em)
        pen.canvas.text(number_in_cell(value->mean), {x(c) + cell / 2, y(r) + row / 2 + 0.36 * digits}, {digits, false, {}}, letters, Canvas::Align::centre);
    }
  }
  double below = y(rows) + 0.3 * em;
  // Names of columns lie where there is room, else they stand; where even that is too narrow, some are left out.
  double widest = 0;
  for (const auto& column : panel.columns) widest = std::max(widest, Canvas::text_width(column, pen.font()));
  const bool standing = widest > cell - 2;
  const double size = standing ? std::clamp(cell * 0.85, kSmallest * em, em) : em;
  const int every = standing ? std::max(1, static_cast<int>(std::ceil(size / std::max(0.1, cell)))) : 1;
  const double longest = 12 * em, deep = standing ? std::min(longest, widest * size / em) : 1.2 * em;
  for (int c = 0; c < columns; ++c) {
    const bool marked = panel.marked.contains(c);
    if (c % every != 0 && !marked) continue;
    const Canvas::Font font{size, marked, {}};
    constexpr Colour kMark{253, 231, 37}, kOnMark{0, 0, 0};
    if (marked)
      pen.canvas.fill({x(c) + cell / 2 - std::min(cell / 2 - hair, standing ? 0.6 * size : cell / 2), below,
                       2 * std::min(cell / 2 - hair, standing ? 0.6 * size : cell / 2), deep + 0.3 * em},
                      kMark);
    const Colour& ink = marked ? kOnMark : pen.ink.ink;
    const std::string name = Canvas::shortened(panel.columns[static_cast<size_t>(c)], font, standing ? deep : cell);
    if (standing)
      pen.canvas.text(name, {x(c) + cell / 2 + 0.36 * size, below + 0.15 * em}, font, ink, Canvas::Align::right, /*upwards=*/true);
    else
      pen.canvas.text(name, {x(c) + cell / 2, below + 1.1 * em}, font, ink, Canvas::Align::centre);
  }
  if (!panel.column_axis.empty())
    pen.canvas.text(Canvas::shortened(panel.column_axis, pen.font(), labels), {left - kGap * em, below + 1.1 * em}, pen.font(), pen.ink.soft,
                    Canvas::Align::right);
  below += deep + 0.5 * em;
  const Canvas::Font small = pen.font(0.85);
  const bool named = !panel.groups.empty() || !panel.apart.empty();
  if (!named) return below - at.y;
  // A group's name lies under its first column and may be as long as the group; where it is shorter than any name, names stand as well.
  const auto end_of = [&](size_t i) { return i + 1 < panel.groups.size() ? x(panel.groups[i + 1].first) : x(columns - panel.columns_apart - 1) + cell; };
  bool upright = false;
  double tallest = panel.apart.empty() ? 0 : std::min(longest, Canvas::text_width(panel.apart, small));
  for (size_t i = 0; i < panel.groups.size(); ++i) {
    const double wide = Canvas::text_width(panel.groups[i].second, small);
    upright |= wide > end_of(i) - x(panel.groups[i].first) - 0.5 * em;
    tallest = std::min(std::max(tallest, wide), longest);
  }
  for (size_t i = 0; i < panel.groups.size(); ++i) {
    const double from = x(panel.groups[i].first) + hair, to = end_of(i) - hair;
    pen.canvas.line({{from, below + 0.5 * em}, {from, below}, {to, below}, {to, below + 0.5 * em}}, pen.ink.soft, 0.5);
    if (upright)
      pen.canvas.text(Canvas::shortened(panel.groups[i].second, small, longest), {(from + to) / 2 + 0.3 * em, below + 0.7 * em}, small, pen.ink.soft,
                      Canvas::Align::right, /*upwards=*/true);
    else
      pen.canvas.text(panel.groups[i].second, {(from + to) / 2, below + 1.4 * em}, small, pen.ink.soft, Canvas::Align::centre);
  }
  if (!panel.apart.empty() && panel.columns_apart > 0) {
    // Under the middle of its columns, as far as the paper reaches.
    const double room = panel.columns_apart * cell + apart_width(pen, panel) + em;
    const std::string name = Canvas::shortened(panel.apart, small, upright ? longest : room);
    const double middle = (x(columns - panel.columns_apart) + x(columns - 1) + cell) / 2, half = Canvas::text_width(name, small) / 2;
    if (upright && 2 * half > room)
      pen.canvas.text(name, {middle + 0.3 * em, below + 0.7 * em}, small, pen.ink.soft, Canvas::Align::right, /*upwards=*/true);
    else
      pen.canvas.text(name, {std::min(middle, at.x + width - half), below + 1.4 * em}, small, pen.ink.soft, Canvas::Align::centre);
  }
  return below + (upright ? tallest + 0.9 * em : 1.8 * em) - at.y;
}

}  // namespace glyphscope
