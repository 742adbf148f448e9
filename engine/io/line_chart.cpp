#include "io/line_chart.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace glyphscope {

torch::Tensor LineChart::draw() const {
  constexpr int kWidth = 560, kHeight = 300, kLeft = 64, kRight = 16, kTop = 36, kBottom = 40;
  constexpr Colour kInk{30, 30, 36}, kSoft{110, 110, 120}, kGrid{225, 225, 230}, kPaper{255, 255, 255};
  Canvas canvas(kWidth, kHeight, kPaper);
  canvas.text(title, kLeft, 22, 14, kInk);
  std::vector<Line> shown = lines;
  double last = 0, low = INFINITY, high = -INFINITY;
  for (auto& line : shown) {
    std::erase_if(line.points, [&](const auto& point) { return !std::isfinite(point.second) || (logarithmic && point.second <= 0); });
    for (const auto& [step, value] : line.points) last = std::max(last, step), low = std::min(low, value), high = std::max(high, value);
  }
  std::erase_if(shown, [](const Line& line) { return line.points.empty(); });
  if (shown.empty()) return canvas.image();
  const auto height_of = [&](double value) { return logarithmic ? std::log10(value) : value; };
  const double bottom = logarithmic ? std::log10(low) - 0.05 : 0, top = logarithmic ? std::log10(high) + 0.05 : 1;
  const auto x = [&](double step) { return kLeft + static_cast<int>(step / std::max(1.0, last) * (kWidth - kLeft - kRight)); };
  const auto y = [&](double value) { return kTop + static_cast<int>((top - height_of(value)) / (top - bottom) * (kHeight - kTop - kBottom)); };

  std::vector<double> ticks;
  if (logarithmic) {
    for (int decade = -9; decade <= 9; ++decade)
      for (int digit : {1, 2, 5}) ticks.push_back(digit * std::pow(10.0, decade));
  } else {
    for (int part = 0; part <= 5; ++part) ticks.push_back(part / 5.0);
  }
  for (double value : ticks) {
    if (height_of(value) < bottom || height_of(value) > top) continue;
    canvas.fill(kLeft, y(value), kWidth - kLeft - kRight, 1, kGrid);
    char label[16];
    std::snprintf(label, sizeof label, "%g", value);
    canvas.text(label, kLeft - 8, y(value) + 4, 12, kSoft, Canvas::Align::right);
  }
  for (int part = 0; part <= 4; ++part) {
    const double step = last * part / 4;
    canvas.text(std::to_string(static_cast<long long>(step)), x(step), kHeight - 20, 12, kSoft, part == 4 ? Canvas::Align::right : Canvas::Align::centre);
  }
  canvas.text("steps", (kLeft + kWidth - kRight) / 2, kHeight - 5, 12, kSoft, Canvas::Align::centre);

  int legend = kWidth - kRight;
  for (auto line = shown.rbegin(); line != shown.rend(); ++line) {
    for (size_t i = 0; i < line->points.size(); ++i) {
      const auto& point = line->points[i];
      const auto& before = line->points[i == 0 ? 0 : i - 1];
      const int x0 = x(before.first), y0 = y(before.second), x1 = x(point.first), y1 = y(point.second);
      const int parts = std::max({1, x1 - x0, std::abs(y1 - y0)});
      for (int part = 0; part <= parts; ++part) canvas.fill(x0 + (x1 - x0) * part / parts, y0 + (y1 - y0) * part / parts, 2, 2, line->colour);
    }
    if (line->name.empty()) continue;
    canvas.text(line->name, legend, 22, 12, line->colour, Canvas::Align::right);
    legend -= canvas.text_width(line->name, 12) + 16;
  }
  return canvas.image();
}

}  // namespace glyphscope
