#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "core/progress.h"
#include "experiments/run_folder.h"
#include "experiments/statistics.h"

namespace glyphscope {

/// A prompt pair with a noise that two runs drew, by the number each has for it, and what of it is kept.
struct ComparedCell {
  Cell first, second;
  std::string first_picture, second_picture;  ///< Files, relative to each run; empty: not kept.
  std::string first_read, second_read;        ///< What OCR read.
};

/// A picture that both runs measured on the same prompts with the same noises: A's or B's own, or patched by the same plan.
struct ComparedVariant {
  Variant variant;
  std::vector<ComparedCell> cells;
  std::map<std::string, Score> first, second;  ///< Means over these cells.
  /// Of second less first, cell by cell. No interval where fewer than five words differ at all: how far they spread is not known then.
  std::map<std::string, Score> difference;
  /// Scores whose difference is not by chance: two-sided p of the paired differences, Benjamini and Hochberg's over all variants at 5 %.
  std::set<std::string> differs;
  /// "ssim", "psnr" and "mse" between both runs' pictures, and "equal", the share that is the same to the bit; of the cells where both are kept.
  std::map<std::string, Score> pictures;
};

/// What two runs have in common: of two models, of a model with and without adapters, of two number formats, or of other settings.
struct RunComparison {
  std::filesystem::path first, second;
  RunDescription first_of, second_of;
  std::vector<std::string> differences;   ///< What the runs differ by, for a person: "adapters: none; 1".
  int pairs = 0, noises = 0;              ///< That both have.
  std::vector<ComparedVariant> variants;  ///< Own pictures first, then in the order of the first run's questions.

  nlohmann::ordered_json to_json() const;
  /// A line a variant and score.
  std::string csv() const;
};

/// Cells are the same where prompts and seed are. Throws a Failure where a folder is no run, or the runs have no cell in common.
RunComparison compare_runs(const std::filesystem::path& first, const std::filesystem::path& second, const ProgressCallback& progress,
                           const CancelToken& cancel);

}  // namespace glyphscope
