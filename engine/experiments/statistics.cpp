#include "experiments/statistics.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <mutex>

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

namespace {

constexpr size_t kResamples = 2000, kFewestWords = 5;

// Numbers from 0 in place of whatever numbers there are.
struct Dense {
  std::set<int> words, noises;
  explicit Dense(const std::vector<Observation>& observations) {
    for (const auto& one : observations) {
      words.insert(one.word);
      noises.insert(one.noise);
    }
  }
  Observation operator()(const Observation& one) const {
    const auto index_in = [](const std::set<int>& all, int number) { return static_cast<int>(std::distance(all.begin(), all.find(number))); };
    return {one.value, index_in(words, one.word), index_in(noises, one.noise)};
  }
  RunningScore running() const { return {static_cast<int>(words.size()), static_cast<int>(noises.size())}; }
};

}  // namespace

// How often each word and each noise is in each resample.
struct RunningScore::Resamples {
  size_t words, noises;
  std::vector<std::uint16_t> word_counts, noise_counts;  // [kResamples, words], [kResamples, noises]

  Resamples(size_t words, size_t noises) : words(words), noises(noises), word_counts(kResamples * words), noise_counts(kResamples * noises) {
    Choice choice(20250202);
    const auto resample = [&](std::uint16_t* counts, size_t size) {
      for (size_t k = 0; k < size; ++k) ++counts[choice.below(static_cast<int>(size))];
    };
    for (size_t i = 0; i < kResamples; ++i) {
      resample(word_counts.data() + i * words, words);
      resample(noise_counts.data() + i * noises, noises);
    }
  }
};

std::shared_ptr<const RunningScore::Resamples> RunningScore::resamples(int words, int noises) {
  // The last is kept: scores of one run have all the same.
  static std::mutex mutex;
  static std::shared_ptr<const Resamples> last;
  const std::lock_guard lock(mutex);
  if (!last || last->words != static_cast<size_t>(words) || last->noises != static_cast<size_t>(noises))
    last = std::make_shared<const Resamples>(static_cast<size_t>(words), static_cast<size_t>(noises));
  return last;
}

RunningScore::RunningScore(int words, int noises) : resamples_(resamples(words, noises)), sums_(kResamples), weights_(kResamples) {}

void RunningScore::add(const Observation& one) {
  if (!std::isfinite(one.value)) {
    ++infinite_;
    return;
  }
  values_.push_back(one.value);
  words_seen_.insert(one.word);
  const auto word = static_cast<size_t>(one.word), noise = static_cast<size_t>(one.noise);
  for (size_t i = 0; i < kResamples; ++i) {
    const double weight = static_cast<double>(resamples_->word_counts[i * resamples_->words + word]) * resamples_->noise_counts[i * resamples_->noises + noise];
    sums_[i] += weight * one.value;
    weights_[i] += weight;
  }
}

Score RunningScore::score() const {
  return of_means({this}, [](const std::vector<double>& means) { return means.front(); });
}

Score RunningScore::of_means(const std::vector<const RunningScore*>& lists, const std::function<double(const std::vector<double>& means)>& of) {
  const RunningScore& first = *lists.front();
  Score out;
  out.n = static_cast<int>(first.values_.size());
  out.infinite = first.infinite_;
  if (out.n == 0) return out;
  std::vector<double> means(lists.size());
  for (size_t i = 0; i < lists.size(); ++i)
    for (const double value : lists[i]->values_) means[i] += value / static_cast<double>(out.n);
  out.mean = of(means);
  if (first.words_seen_.size() < kFewestWords) return out;
  std::vector<double> resampled;
  for (size_t i = 0; i < kResamples; ++i) {
    if (first.weights_[i] == 0) continue;
    for (size_t list = 0; list < lists.size(); ++list) means[list] = lists[list]->sums_[i] / first.weights_[i];
    resampled.push_back(of(means));
  }
  std::sort(resampled.begin(), resampled.end());
  auto quantile = [&](double q) { return resampled[static_cast<size_t>(std::lround(q * static_cast<double>(resampled.size() - 1)))]; };
  out.low = quantile(0.025);
  out.high = quantile(0.975);
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
  const Dense dense(lists.front());
  std::vector<RunningScore> running(lists.size(), dense.running());
  std::vector<const RunningScore*> all;
  for (size_t i = 0; i < lists.size(); ++i) {
    for (const auto& one : lists[i]) running[i].add(dense(one));
    all.push_back(&running[i]);
  }
  return RunningScore::of_means(all, of);
}

}  // namespace glyphscope
