#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/progress.h"
#include "experiments/axes.h"
#include "experiments/cells.h"
#include "experiments/certificate.h"
#include "experiments/localization.h"

namespace glyphscope {

/// What answering a question takes, counted and not estimated.
struct PlannedQuestion {
  std::string title;
  std::int64_t cells = 0, pictures = 0;
  std::int64_t denoiser_rows = 0;  ///< Through the denoiser: halves of guidance, and rows that others take K and V from, counted.
  bool at_most = false;            ///< How much of it is needed depends on what is found.
};

/// What a run takes, before it is begun.
struct RunPlan {
  std::vector<PlannedQuestion> questions;
  std::uint64_t bytes = 0;        ///< In its folder, at most.
  std::optional<double> seconds;  ///< By what some denoiser calls and pictures took here.
  int words = 0, noises = 0;      ///< Of the cells that report. Words: clusters of pairs that share none.
  /// The smallest difference of a mean share (as reads as B, F1) that is found four times in five at a level of 5 % (two-sided), if pictures of different
  /// words differ as much as they can, and those of one word not at all.
  double detectable = 0;

  std::int64_t pictures() const;
  std::int64_t denoiser_rows() const;
  nlohmann::ordered_json to_json() const;
};

/// The level and power of RunPlan::detectable: sqrt(variance / words) times this.
double detectable_difference(double standard_deviation, int words);

/// A localization: every site alone, then what it may come to.
RunPlan plan_localization(const Pipeline& pipeline, const LocalizationSettings& settings);
/// A certificate: every site alone on the cells that choose, then what it may come to, and what is reported. An adaptive search takes far fewer; how many it
/// finds out as it goes.
RunPlan plan_certificate(const Pipeline& pipeline, const CertifySettings& settings);
/// A map of effects.
RunPlan plan_map(const Pipeline& pipeline, const RunSettings& settings, const Axes& axes, const Scope& scope);

/// Fills in the time: draws a few rows of one and of two steps, and reads one picture. Throws a Failure.
void measure_time(RunPlan& plan, Pipeline& pipeline, TextReader& reader, Judges& judges, const RunSettings& settings, const CancelToken& cancel);

}  // namespace glyphscope
