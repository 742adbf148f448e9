#pragma once

#include <cstdint>
#include <filesystem>
#include <map>

#include "adapt/training_row.h"
#include "plot/figure.h"

namespace glyphscope {

/// training.csv: a row each step, cells empty where nothing was measured.
class TrainingTable {
 public:
  /// Goes on with the table in `file`, if there is one, as far as `step`: what came after is done again. Throws a Failure if it is damaged.
  TrainingTable(std::filesystem::path file, std::int64_t step);

  TrainingRow& operator[](std::int64_t step) { return rows_[step]; }
  const std::map<std::int64_t, TrainingRow>& rows() const { return rows_; }
  /// Atomic.
  void save() const;
  /// Losses over steps, and below them the shares that sample pictures gave, if there are any.
  Figure figure() const;

 private:
  std::filesystem::path file_;
  std::map<std::int64_t, TrainingRow> rows_;
};

}  // namespace glyphscope
