#include "demo/loss_curve.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <sstream>

#include "core/error.h"
#include "io/canvas.h"
#include "io/files.h"

namespace glyphscope {

namespace {

constexpr const char* kHeader = "stage,step,loss,cpu_seconds";

// Of all threads; a stopped process does not count.
double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

}  // namespace

LossCurve::LossCurve(std::filesystem::path file, std::int64_t every) : file_(std::move(file)), every_(every), clock_(cpu_seconds()) {
  if (!std::filesystem::exists(file_)) return;
  std::istringstream lines(read_text(file_));
  std::string line;
  std::getline(lines, line);
  bool whole = line == kHeader;
  while (whole && std::getline(lines, line)) {
    Point point;
    char stage[32];
    long long step = 0;
    whole = std::sscanf(line.c_str(), "%31[^,],%lld,%lf,%lf", stage, &step, &point.loss, &point.cpu_seconds) == 4;
    point.stage = stage;
    point.step = step;
    points_.push_back(point);
  }
  if (!whole) reject("this is no table of losses", file_.string(), "Delete the file: the training starts a new one");
}

void LossCurve::go_back(const std::string& stage, std::int64_t step) {
  std::erase_if(points_, [&](const Point& point) { return point.stage == stage && point.step > step; });
}

void LossCurve::start() {
  sum_ = 0, since_ = 0;
  clock_ = cpu_seconds();
}

void LossCurve::add(const std::string& stage, std::int64_t step, double loss) {
  sum_ += loss;
  ++since_;
  if (step % every_ != 0) return;
  const double now = cpu_seconds();
  points_.push_back({stage, step, sum_ / static_cast<double>(since_), now - clock_});
  clock_ = now;
  sum_ = 0, since_ = 0;
}

void LossCurve::save() const {
  std::string text = kHeader;
  text += '\n';
  for (const auto& point : points_) {
    char line[96];
    std::snprintf(line, sizeof line, "%s,%lld,%.5f,%.1f\n", point.stage.c_str(), static_cast<long long>(point.step), point.loss, point.cpu_seconds);
    text += line;
  }
  write_text(file_, text);
}

bool LossCurve::has(const std::string& stage) const {
  return std::any_of(points_.begin(), points_.end(), [&](const Point& point) { return point.stage == stage; });
}

torch::Tensor LossCurve::draw(const std::string& stage) const {
  constexpr int kWidth = 560, kHeight = 300, kLeft = 64, kRight = 16, kTop = 36, kBottom = 40;
  constexpr Colour kInk{30, 30, 36}, kSoft{110, 110, 120}, kGrid{225, 225, 230}, kLine{33, 102, 172}, kPaper{255, 255, 255};
  Canvas canvas(kWidth, kHeight, kPaper);
  canvas.text("Loss of the " + stage + " (mean of " + std::to_string(every_) + " steps)", kLeft, 22, 14, kInk);
  std::vector<Point> shown;
  std::copy_if(points_.begin(), points_.end(), std::back_inserter(shown), [&](const Point& p) { return p.stage == stage && p.loss > 0; });
  if (shown.empty()) return canvas.image();
  const auto [low, high] = std::minmax_element(shown.begin(), shown.end(), [](const Point& a, const Point& b) { return a.loss < b.loss; });
  const double bottom = std::log10(low->loss) - 0.05, top = std::log10(high->loss) + 0.05;
  const auto last = static_cast<double>(shown.back().step);
  auto x = [&](double step) { return kLeft + static_cast<int>(step / last * (kWidth - kLeft - kRight)); };
  auto y = [&](double loss) { return kTop + static_cast<int>((top - std::log10(loss)) / (top - bottom) * (kHeight - kTop - kBottom)); };
  for (int decade = -6; decade <= 3; ++decade)
    for (int digit : {1, 2, 5}) {
      const double value = digit * std::pow(10.0, decade);
      if (std::log10(value) < bottom || std::log10(value) > top) continue;
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
  for (size_t i = 0; i < shown.size(); ++i) {
    const int x1 = x(static_cast<double>(shown[i].step)), y1 = y(shown[i].loss);
    const int x0 = i == 0 ? x1 : x(static_cast<double>(shown[i - 1].step)), y0 = i == 0 ? y1 : y(shown[i - 1].loss);
    const int parts = std::max({1, x1 - x0, std::abs(y1 - y0)});
    for (int part = 0; part <= parts; ++part) canvas.fill(x0 + (x1 - x0) * part / parts, y0 + (y1 - y0) * part / parts, 2, 2, kLine);
  }
  return canvas.image();
}

}  // namespace glyphscope
