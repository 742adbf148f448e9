#include <algorithm>
#include <cmath>
#include <cstdio>

#include "plot/panels.h"

namespace glyphscope {

namespace {

constexpr double kOneColumn = 26, kManyColumns = 15, kBetween = 2.2, kIntervalRow = 2.1, kNames = 1.2;  // em
constexpr Colour kStrong{0, 114, 178};

double names_width(const PlotPen& pen, const IntervalPanel& panel) {
  double out = 0;
  for (const auto& row : panel.rows) out = std::max(out, Canvas::text_width(row.name, pen.font(1, row.strong)));
  return out;
}

std::string interval_text(const PlotValue& value) {
  char text[64];
  if (value.low && value.high)
    std::snprintf(text, sizeof text, "%.2f [%.2f, %.2f]", value.mean, *value.low, *value.high);
  else
    std::snprintf(text, sizeof text, "%.2f", value.mean);
  return text;
}

double numbers_width(const PlotPen& pen, const IntervalPanel& panel) {
  return panel.numbers ? Canvas::text_width("\u22120.00 [\u22120.00, \u22120.00]", pen.font(0.9)) + pen.em() : 0;
}

}  // namespace

double natural_width(const PlotPen& pen, const IntervalPanel& panel) {
  const auto columns = static_cast<double>(panel.columns.size());
  const double plots = panel.columns.size() == 1 ? kOneColumn : columns * kManyColumns + (columns - 1) * kBetween;
  return names_width(pen, panel) + (kNames + plots + 1) * pen.em() + columns * numbers_width(pen, panel);
}

double draw_panel(const PlotPen& pen, const IntervalPanel& panel, const Point& at, double width) {
  constexpr double kNarrowest = 9;  // em, of a column
  const double em = pen.em(), row = kIntervalRow * em, between = kBetween * em;
  const auto rows = static_cast<int>(panel.rows.size()), columns = static_cast<int>(panel.columns.size());
  const double names = std::min(names_width(pen, panel), 0.4 * width), left = at.x + names + kNames * em, room = at.x + width - em - left;
  const double numbers = room - numbers_width(pen, panel) >= 0.5 * kNarrowest * em ? numbers_width(pen, panel) : 0;  // where they fit at all
  // As many columns beside each other as can be read; the others below, with the names again.
  const int beside = std::clamp(static_cast<int>((room + between) / (kNarrowest * em + numbers + between)), 1, std::max(1, columns));
  const double wide = (room - (beside - 1) * between) / beside - numbers;
  double top = at.y;
  for (int first = 0; first < columns; first += beside) {
    const int last = std::min(columns, first + beside);
    const auto height = [&](int c) { return Canvas::paragraph_height(panel.columns[static_cast<size_t>(c)].title, wide + numbers, pen.font(0.9)); };
    double titles = 0;
    for (int c = first; c < last; ++c) titles = std::max(titles, height(c));
    const double begin = top + titles + 0.4 * em, end = begin + rows * row;
    for (int c = first; c < last; ++c) {
      const auto& column = panel.columns[static_cast<size_t>(c)];
      const double start = left + (c - first) * (wide + numbers + between), span = std::max(1e-9, column.high - column.low);
      pen.canvas.paragraph(column.title, {start, top + titles - height(c)}, wide + numbers, pen.font(0.9), pen.ink.ink);
      const auto x = [&](double value) { return start + std::clamp((value - column.low) / span, 0.0, 1.0) * wide; };
      // As many numbers as fit beside each other.
      for (const double tick : axis_ticks(column.low, column.high, std::max(2, static_cast<int>(wide / (4.5 * em))))) {
        pen.canvas.line({{x(tick), begin}, {x(tick), end}}, pen.ink.grid, 0.5);
        pen.canvas.text(axis_number(tick), {x(tick), end + 1.1 * em}, pen.font(0.85), pen.ink.soft, Canvas::Align::centre);
      }
      if (column.reference) pen.canvas.line({{x(*column.reference), begin}, {x(*column.reference), end}}, pen.ink.ink, 0.7);
      for (int r = 0; r < rows; ++r) {
        const auto& value = column.values[static_cast<size_t>(r)];
        if (!value) continue;
        const bool strong = panel.rows[static_cast<size_t>(r)].strong;
        const double y = begin + r * row + row / 2;
        const Colour& colour = strong ? kStrong : pen.ink.soft;
        if (value->low && value->high) pen.canvas.line({{x(*value->low), y}, {std::max(x(*value->high), x(*value->low) + 0.5), y}}, colour, strong ? 1.8 : 1.2);
        pen.canvas.mark({x(value->mean), y}, strong ? Canvas::Mark::square : Canvas::Mark::disc, (strong ? 0.7 : 0.6) * em, colour);
        if (numbers > 0) pen.canvas.text(interval_text(*value), {start + wide + em, y + 0.33 * em}, pen.font(0.9), strong ? pen.ink.ink : pen.ink.soft);
      }
    }
    for (int r = 0; r < rows; ++r) {
      const auto& one = panel.rows[static_cast<size_t>(r)];
      const Canvas::Font font = pen.font(1, one.strong);
      pen.canvas.text(Canvas::shortened(one.name, font, names), {left - kNames * em, begin + r * row + row / 2 + 0.36 * em}, font, pen.ink.ink,
                      Canvas::Align::right);
    }
    top = end + 1.6 * em + (last < columns ? em : 0);
  }
  return top - at.y;
}

}  // namespace glyphscope
