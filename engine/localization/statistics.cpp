#include "localization/statistics.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/random.h"

namespace glyphscope {

nlohmann::ordered_json Score::to_json() const {
  auto number = [](std::optional<double> value) -> nlohmann::ordered_json { return value && std::isfinite(*value) ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr); };
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

  constexpr int kResamples = 2000;
  Choice choice(20250202);
  const std::vector<int> word_list(words.begin(), words.end()), noise_list(noises.begin(), noises.end());
  std::vector<double> means;
  for (int i = 0; i < kResamples; ++i) {
    std::map<int, int> word_counts, noise_counts;
    for (size_t k = 0; k < word_list.size(); ++k) ++word_counts[word_list[static_cast<size_t>(choice.below(static_cast<int>(word_list.size())))]];
    for (size_t k = 0; k < noise_list.size(); ++k) ++noise_counts[noise_list[static_cast<size_t>(choice.below(static_cast<int>(noise_list.size())))]];
    double sum = 0, weight = 0;
    for (const auto& one : observations) {
      const double w = static_cast<double>(word_counts[one.word]) * noise_counts[one.noise];
      sum += w * one.value;
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
