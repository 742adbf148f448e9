#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "plot/figure.h"

namespace glyphscope {

/// The loss of a training over its steps: collected, kept as a table beside the checkpoints, and drawn.
class LossCurve {
 public:
  /// The mean loss of the steps before `step`, since the point before, and the processor time they took.
  struct Point {
    std::string stage;
    std::int64_t step = 0;
    double loss = 0, cpu_seconds = 0;
  };

  /// A point each `every` steps. Goes on with the table in `file` if there is one; throws a Failure if it is damaged.
  LossCurve(std::filesystem::path file, std::int64_t every);

  /// Forgets what lies after `step` of a stage, as a training that resumes there does it again.
  void go_back(const std::string& stage, std::int64_t step);
  /// What follows belongs to another stage: nothing of before counts towards its first point.
  void start();
  void add(const std::string& stage, std::int64_t step, double loss);
  /// Writes the table, atomically: stage,step,loss,cpu_seconds.
  void save() const;
  const std::vector<Point>& points() const { return points_; }
  bool has(const std::string& stage) const;
  /// One stage's loss over steps, the loss on a logarithmic axis; [3, 300, 560] uint8.
  Figure figure(const std::string& stage) const;

 private:
  std::filesystem::path file_;
  std::int64_t every_, since_ = 0;
  double sum_ = 0, clock_;
  std::vector<Point> points_;
};

}  // namespace glyphscope
