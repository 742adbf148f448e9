#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
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
/// 2,000 resamples from a fixed seed, of as many words and noises as there will be at the end: an observation that comes in is added to each, and none is
/// computed again. Observations that are not finite are left out, and counted.
class RunningScore {
 public:
  /// How many words and noises there will be, by which observations name them: from 0.
  RunningScore(int words, int noises);
  void add(const Observation& one);
  Score score() const;
  /// The same of a number that is computed from the means of several, all of the same observations.
  static Score of_means(const std::vector<const RunningScore*>& lists, const std::function<double(const std::vector<double>& means)>& of);

 private:
  struct Resamples;
  static std::shared_ptr<const Resamples> resamples(int words, int noises);

  std::shared_ptr<const Resamples> resamples_;
  std::vector<double> values_, sums_, weights_;  // the latter of each resample
  std::set<int> words_seen_;
  int infinite_ = 0;
};

/// RunningScore of observations that are all there; words and noises are whatever numbers they have.
Score score_of(const std::vector<Observation>& observations);

/// The same of a number that is computed from the means of several lists, all finite and of the same words and noises in the same order.
Score score_of_means(const std::vector<std::vector<Observation>>& lists, const std::function<double(const std::vector<double>& means)>& of);

}  // namespace glyphscope
