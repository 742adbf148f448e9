#include "demo/loss_curve.h"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <sstream>

#include "core/error.h"
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

Figure LossCurve::figure(const std::string& stage) const {
  LinePanel::Line line;
  for (const auto& point : points_)
    if (point.stage == stage) line.points.emplace_back(static_cast<double>(point.step), point.loss);
  return {.title = "Loss of the " + stage,
          .subtitle = "Mean of " + std::to_string(every_) + " steps.",
          .parts = {{"", LinePanel{"step", "loss", {line}, true, {}}}}};
}

}  // namespace glyphscope
