#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace glyphscope {

/// What is known of an adapter after a number of steps.
struct TrainingRow {
  std::optional<double> loss;                                 ///< Of the pictures that it learns from next, with this rate.
  std::optional<double> held_out;                             ///< Mean loss on pictures that are not learned from.
  std::optional<double> word_accuracy, ocr_f1, ssim_to_base;  ///< Of sample pictures: see TrainingSamples.
  std::optional<double> rate;
};

struct FinetuneProgress {
  std::int64_t step = 0, steps = 0;
  std::optional<double> loss;      ///< Mean since the last report, if anything was learned.
  std::optional<double> held_out;  ///< Where it was measured at this step: see TrainingRow.
  double rate = 0, pictures_per_second = 0;
  /// Rows of training.csv since the last report, this step's too; in the first report, all from before a stop.
  std::vector<std::pair<std::int64_t, TrainingRow>> rows;
};

}  // namespace glyphscope
