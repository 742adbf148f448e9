#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

namespace glyphscope {

/// A mean and its 95 % interval; no interval under five clusters.
struct Score {
  double mean = 0;
  std::optional<double> low, high;
  int n = 0;  ///< Observations.

  /// {"mean", "low", "high", "n"}; a value that is not finite is null.
  nlohmann::ordered_json to_json() const;
};

/// One observation of a score: of which word (cluster one) and which noise (cluster two).
struct Observation {
  double value = 0;
  int word = 0, noise = 0;
};

/// Mean with a percentile bootstrap that resamples words and noises, not images: all prompts share the same noises, so
/// images are not independent. Owen and Eckles, "Bootstrapping data arrays of arbitrary order" (2012), section 3.
/// 2,000 resamples from a fixed seed. Observations that are not finite are left out.
Score score_of(const std::vector<Observation>& observations);

}  // namespace glyphscope
