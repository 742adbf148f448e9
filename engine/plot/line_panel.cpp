#include <algorithm>
#include <cmath>

#include "plot/panels.h"

namespace glyphscope {

namespace {

constexpr double kLinesWidth = 46, kLinesHeight = 20;  // em
// Okabe and Ito's colours, which readers with any colour vision tell apart, of those with 3:1 on white and on black.
constexpr Colour kLineColours[] = {{0, 114, 178}, {213, 94, 0}, {0, 140, 102}, {184, 92, 146}, {120, 120, 130}};
const std::vector<double> kLineDashes[] = {{}, {4, 1.5}, {1, 1.5}, {5, 1.5, 1, 1.5}, {8, 2}};
constexpr Canvas::Mark kLineMarks[] = {Canvas::Mark::disc, Canvas::Mark::square, Canvas::Mark::diamond, Canvas::Mark::triangle};

}  // namespace

double natural_width(const PlotPen& pen, const LinePanel&) { return kLinesWidth * pen.em(); }

double draw_panel(const PlotPen& pen, const LinePanel& panel, const Point& at, double width) {
  const double em = pen.em();
  std::vector<LinePanel::Line> lines = panel.lines;
  double first = INFINITY, last = -INFINITY, low = INFINITY, high = -INFINITY;
  for (auto& line : lines) {
    // Differences of what is larger would overflow.
    const auto drawable = [](double value) { return std::abs(value) < 1e300; };
    std::erase_if(line.points,
                  [&](const auto& point) { return !drawable(point.first) || !drawable(point.second) || (panel.logarithmic && point.second < 1e-300); });
    for (const auto& [x, y] : line.points) first = std::min(first, x), last = std::max(last, x), low = std::min(low, y), high = std::max(high, y);
  }
  if (!(first <= last)) {
    pen.canvas.text("No values yet.", {at.x, at.y + em}, pen.font(), pen.ink.soft);
    return 1.5 * em;
  }
  if (first == last) last = first + 1;
  if (panel.y_range) std::tie(low, high) = *panel.y_range;
  const auto level = [&](double value) { return panel.logarithmic ? std::log10(value) : value; };
  double bottom = level(low), top = level(high);
  const double room = top > bottom ? 0.04 * (top - bottom) : std::max(1e-6, std::abs(top) * 0.05);
  bottom -= room, top += room;
  const std::vector<double> ticks =
      axis_ticks(panel.logarithmic ? std::pow(10, bottom) : bottom, panel.logarithmic ? std::pow(10, top) : top, 5, panel.logarithmic);
  double labels = 0;
  for (const double tick : ticks) labels = std::max(labels, Canvas::text_width(axis_number(tick), pen.font(0.9)));

  double y0 = at.y;
  // The legend: a piece of each line, so that dashes and marks tell as much as colours.
  double legend = at.x;
  bool any = false;
  const auto style_of = [&](size_t i) {
    return std::tuple(kLineColours[i % std::size(kLineColours)], kLineDashes[i % std::size(kLineDashes)], kLineMarks[i % std::size(kLineMarks)]);
  };
  for (size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].name.empty() || lines[i].points.empty()) continue;
    const std::string name = Canvas::shortened(lines[i].name, pen.font(0.9), width - 2.8 * em);
    const double wide = 2.8 * em + Canvas::text_width(name, pen.font(0.9)) + 1.5 * em;
    if (any && legend + wide - 1.5 * em > at.x + width) legend = at.x, y0 += 1.4 * em;
    const auto [colour, dashes, mark] = style_of(i);
    pen.canvas.line({{legend, y0 + 0.7 * em}, {legend + 2.2 * em, y0 + 0.7 * em}}, colour, 1.2, dashes);
    if (lines[i].marks) pen.canvas.mark({legend + 1.1 * em, y0 + 0.7 * em}, mark, 0.55 * em, colour);
    pen.canvas.text(name, {legend + 2.8 * em, y0 + em}, pen.font(0.9), pen.ink.ink);
    legend += wide;
    any = true;
  }
  if (any) y0 += 2.0 * em;
  const double axis_name = panel.y_axis.empty() ? 0 : 1.6 * em;
  const Rectangle plot{at.x + axis_name + labels + 0.7 * em, y0, width - axis_name - labels - 1.2 * em, std::min(kLinesHeight * em, 0.5 * width)};
  const auto x = [&](double value) { return plot.left + (value - first) / (last - first) * plot.width; };
  const auto y = [&](double value) { return plot.top + (top - level(value)) / (top - bottom) * plot.height; };
  for (const double tick : ticks) {
    pen.canvas.line({{plot.left, y(tick)}, {plot.left + plot.width, y(tick)}}, pen.ink.grid, 0.5);
    pen.canvas.text(axis_number(tick), {plot.left - 0.5 * em, y(tick) + 0.32 * em}, pen.font(0.9), pen.ink.soft, Canvas::Align::right);
  }
  for (const double tick : axis_ticks(first, last, 5)) {
    pen.canvas.line({{x(tick), plot.top + plot.height}, {x(tick), plot.top + plot.height + 0.3 * em}}, pen.ink.soft, 0.5);
    const double half = Canvas::text_width(axis_number(tick), pen.font(0.9)) / 2;
    pen.canvas.text(axis_number(tick), {std::min(x(tick), at.x + width - half), plot.top + plot.height + 1.3 * em}, pen.font(0.9), pen.ink.soft,
                    Canvas::Align::centre);
  }
  pen.canvas.line({{plot.left, plot.top}, {plot.left, plot.top + plot.height}, {plot.left + plot.width, plot.top + plot.height}}, pen.ink.soft, 0.6);
  for (size_t i = 0; i < lines.size(); ++i) {
    const auto [colour, dashes, mark] = style_of(i);
    std::vector<Point> path;
    for (const auto& [px, py] : lines[i].points) path.push_back({x(px), std::clamp(y(py), plot.top, plot.top + plot.height)});
    pen.canvas.line(path, colour, 1.2, dashes);
    if (!lines[i].marks && path.size() > 1) continue;
    for (const Point& point : path) pen.canvas.mark(point, mark, 0.5 * em, colour);
  }
  double below = plot.top + plot.height + 1.7 * em;
  if (!panel.y_axis.empty())
    pen.canvas.text(Canvas::shortened(panel.y_axis, pen.font(0.9), plot.height), {at.x + em, plot.top + plot.height / 2}, pen.font(0.9), pen.ink.soft,
                    Canvas::Align::centre, /*upwards=*/true);
  if (!panel.x_axis.empty()) {
    pen.canvas.text(Canvas::shortened(panel.x_axis, pen.font(0.9), plot.width), {plot.left + plot.width / 2, below + 0.9 * em}, pen.font(0.9), pen.ink.soft,
                    Canvas::Align::centre);
    below += 1.4 * em;
  }
  return below - at.y;
}

}  // namespace glyphscope
