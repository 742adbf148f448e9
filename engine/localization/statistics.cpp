#include "localization/statistics.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "core/random.h"

namespace glyphscope {

nlohmann::ordered_json Score::to_json() const {
  auto number = [](std::optional<double> value) -> nlohmann::ordered_json {
    return value && std::isfinite(*value) ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
  };
  return {{"mean", number(n > 0 ? std::optional(mean) : std::nullopt)}, {"low", number(low)}, {"high", number(high)}, {"n", n}};
}

Score score_of(const std::vector<Observation>& all) {
  std::vector<Observation> observations;
  std::set<int> words, noises;
  for (const auto& one : all) {
    if (!std::isfinite(one.value)) continue;
    observations.push_back(one);
    words.insert(one.word);
    noises.insert(one.noise);
  }
  Score out;
  out.n = static_cast<int>(observations.size());
  if (observations.empty()) return out;
  for (const auto& one : observations) out.mean += one.value / static_cast<double>(observations.size());
  constexpr size_t kFewestClusters = 5;
  if (words.size() < kFewestClusters) return out;

  // Words and noises by dense index, so that a resample is two arrays of counts.
  auto index_in = [](const std::set<int>& all, int one) { return static_cast<size_t>(std::distance(all.begin(), all.find(one))); };
  std::vector<std::pair<size_t, size_t>> places;
  for (const auto& one : observations) places.emplace_back(index_in(words, one.word), index_in(noises, one.noise));
  auto resample = [](Choice& choice, std::vector<int>& counts) {
    std::fill(counts.begin(), counts.end(), 0);
    for (size_t k = 0; k < counts.size(); ++k) ++counts[static_cast<size_t>(choice.below(static_cast<int>(counts.size())))];
  };
  constexpr int kResamples = 2000;
  Choice choice(20250202);
  std::vector<int> word_counts(words.size()), noise_counts(noises.size());
  std::vector<double> means;
  for (int i = 0; i < kResamples; ++i) {
    resample(choice, word_counts);
    resample(choice, noise_counts);
    double sum = 0, weight = 0;
    for (size_t k = 0; k < observations.size(); ++k) {
      const double w = static_cast<double>(word_counts[places[k].first]) * noise_counts[places[k].second];
      sum += w * observations[k].value;
      weight += w;
    }
    if (weight > 0) means.push_back(sum / weight);
  }
  std::sort(means.begin(), means.end());
  auto quantile = [&](double q) { return means[static_cast<size_t>(std::lround(q * static_cast<double>(means.size() - 1)))]; };
  out.low = quantile(0.025);
  out.high = quantile(0.975);
  return out;
}

}  // namespace glyphscope
