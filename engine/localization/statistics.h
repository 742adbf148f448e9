#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

namespace glyphscope {

/// A mean and its 95 % interval; no interval under five clusters.
struct Score {
  double mean = 0;
  std::optional<double> low, high;
  int n = 0;         ///< Observations that the mean is of.
  int infinite = 0;  ///< Others, which were not finite: the PSNR of equal pictures.

  /// {"mean", "low", "high", "n"}, and "infinite" where there are some; a value that is not finite is null.
  nlohmann::ordered_json to_json() const;
};

/// One observation of a score: of which word (cluster one) and which noise (cluster two).
struct Observation {
  double value = 0;
  int word = 0, noise = 0;
};

/// Mean with a percentile bootstrap that resamples words and noises, not images: all prompts share the same noises, so
/// images are not independent. Owen and Eckles, "Bootstrapping data arrays of arbitrary order" (2012), section 3.
/// 2,000 resamples from a fixed seed. Observations that are not finite are left out, and counted.
Score score_of(const std::vector<Observation>& observations);

/// The same of a number that is computed from the means of several lists, all finite and of the same words and noises in the same order.
Score score_of_means(const std::vector<std::vector<Observation>>& lists, const std::function<double(const std::vector<double>& means)>& of);

}  // namespace glyphscope
