#include "localization/statistics.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <set>

#include "core/random.h"

namespace glyphscope {

nlohmann::ordered_json Score::to_json() const {
  auto number = [](std::optional<double> value) -> nlohmann::ordered_json {
    return value && std::isfinite(*value) ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
  };
  nlohmann::ordered_json out{{"mean", number(n > 0 ? std::optional(mean) : std::nullopt)}, {"low", number(low)}, {"high", number(high)}, {"n", n}};
  if (infinite > 0) out["infinite"] = infinite;
  return out;
}

Score score_of(const std::vector<Observation>& all) {
  std::vector<Observation> finite;
  std::copy_if(all.begin(), all.end(), std::back_inserter(finite), [](const Observation& one) { return std::isfinite(one.value); });
  Score out = score_of_means({finite}, [](const std::vector<double>& means) { return means.front(); });
  out.infinite = static_cast<int>(all.size() - finite.size());
  return out;
}

Score score_of_means(const std::vector<std::vector<Observation>>& lists, const std::function<double(const std::vector<double>& means)>& of) {
  const std::vector<Observation>& observations = lists.front();
  std::set<int> words, noises;
  for (const auto& one : observations) {
    words.insert(one.word);
    noises.insert(one.noise);
  }
  Score out;
  out.n = static_cast<int>(observations.size());
  if (observations.empty()) return out;
  std::vector<double> means(lists.size());
  for (size_t i = 0; i < lists.size(); ++i)
    for (const auto& one : lists[i]) means[i] += one.value / static_cast<double>(observations.size());
  out.mean = of(means);
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
  std::vector<double> resampled, sums(lists.size());
  for (int i = 0; i < kResamples; ++i) {
    resample(choice, word_counts);
    resample(choice, noise_counts);
    std::fill(sums.begin(), sums.end(), 0);
    double weight = 0;
    for (size_t k = 0; k < observations.size(); ++k) {
      const double w = static_cast<double>(word_counts[places[k].first]) * noise_counts[places[k].second];
      for (size_t list = 0; list < lists.size(); ++list) sums[list] += w * lists[list][k].value;
      weight += w;
    }
    if (weight == 0) continue;
    for (size_t list = 0; list < lists.size(); ++list) means[list] = sums[list] / weight;
    resampled.push_back(of(means));
  }
  std::sort(resampled.begin(), resampled.end());
  auto quantile = [&](double q) { return resampled[static_cast<size_t>(std::lround(q * static_cast<double>(resampled.size() - 1)))]; };
  out.low = quantile(0.025);
  out.high = quantile(0.975);
  return out;
}

}  // namespace glyphscope
