#include "experiments/statistics.h"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <map>
#include <set>

namespace glyphscope {

nlohmann::ordered_json Score::to_json() const {
  auto number = [](std::optional<double> value) -> nlohmann::ordered_json {
    return value && std::isfinite(*value) ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
  };
  nlohmann::ordered_json out{{"mean", number(n > 0 ? std::optional(mean) : std::nullopt)}, {"low", number(low)}, {"high", number(high)}, {"n", n}};
  if (infinite > 0) out["infinite"] = infinite;
  return out;
}

Score Score::from_json(const nlohmann::ordered_json& json) {
  Score out;
  json.at("n").get_to(out.n);
  if (out.n > 0) json.at("mean").get_to(out.mean);
  if (!json.at("low").is_null()) out.low = json["low"].get<double>();
  if (!json.at("high").is_null()) out.high = json["high"].get<double>();
  out.infinite = json.value("infinite", 0);
  return out;
}

namespace {

constexpr size_t kFewestWords = 5;

// Quantile of Student's t that 97.5 % are under.
double student_quantile(double degrees) { return boost::math::quantile(boost::math::students_t(degrees), 0.975); }

struct Spread {
  double variance = 0;  // of the mean
  double degrees = 1;   // of freedom
  double words = 0;
};

// deviations: of each observation from the mean, by word and noise.
Spread spread_of(const std::vector<Observation>& deviations) {
  std::map<int, double> words, noises;
  std::map<int, std::set<int>> words_of_noise;
  double squares = 0;
  for (const auto& one : deviations) {
    words[one.word] += one.value;
    noises[one.noise] += one.value;
    words_of_noise[one.noise].insert(one.word);
    squares += one.value * one.value;
  }
  const auto sum_of_squares = [](const std::map<int, double>& sums) {
    double out = 0;
    for (const auto& [_, sum] : sums) out += sum * sum;
    return out;
  };
  const auto n = static_cast<double>(deviations.size()), w = static_cast<double>(words.size()), s = static_cast<double>(noises.size());
  Spread out;
  out.words = w;
  const double of_words = sum_of_squares(words) * w / n;  // sums of squares between words, and between noises
  const double mean_words = of_words / (w - 1);
  const bool nested = std::all_of(words_of_noise.begin(), words_of_noise.end(), [](const auto& one) { return one.second.size() == 1; });
  if (nested || s < 2) {
    out.variance = mean_words / n;
    out.degrees = w - 1;
    return out;
  }
  const double of_noises = sum_of_squares(noises) * s / n, mean_noises = of_noises / (s - 1);
  const double rest_degrees = std::max(1.0, n - w - s + 1), mean_rest = std::max(0.0, squares - of_words - of_noises) / rest_degrees;
  // What is estimated is at least what pictures differ by, whatever their words and noises.
  const double sum = std::max(mean_words + mean_noises - mean_rest, mean_rest);
  const double terms = mean_words * mean_words / (w - 1) + mean_noises * mean_noises / (s - 1) + mean_rest * mean_rest / rest_degrees;
  out.variance = sum / n;
  out.degrees = std::clamp(terms > 0 ? sum * sum / terms : w - 1, std::min(w, s) - 1, n - 1);
  return out;
}

// How many words have an observation, in one of the lists, that is not this number.
size_t words_off(const std::vector<const std::vector<Observation>*>& lists, double number) {
  std::set<int> out;
  for (const auto* list : lists)
    for (const auto& one : *list)
      if (std::abs(one.value - number) > 1e-9) out.insert(one.word);
  return out.size();
}

}  // namespace

void RunningScore::add(const Observation& one) {
  if (std::isfinite(one.value))
    values_.push_back(one);
  else
    ++infinite_;
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
  std::vector<const std::vector<Observation>*> values;
  for (size_t i = 0; i < lists.size(); ++i) {
    values.push_back(&lists[i]->values_);
    // The sum first: the mean of equal numbers is that number, and their spread nothing.
    for (const auto& one : lists[i]->values_) means[i] += one.value;
    means[i] /= static_cast<double>(out.n);
  }
  out.mean = of(means);
  std::set<int> words;
  for (const auto& one : first.values_) words.insert(one.word);
  if (words.size() < kFewestWords) return out;

  // How the number changes with each mean, and so with each observation.
  std::vector<Observation> deviations = first.values_;
  for (auto& one : deviations) one.value = 0;
  for (size_t i = 0; i < lists.size(); ++i) {
    const double step = 1e-6 * std::max(1.0, std::abs(means[i]));
    std::vector<double> above = means, below = means;
    above[i] += step;
    below[i] -= step;
    const double slope = lists.size() == 1 ? 1 : (of(above) - of(below)) / (2 * step);
    for (size_t k = 0; k < deviations.size(); ++k) deviations[k].value += slope * ((*values[i])[k].value - means[i]);
  }
  const Spread spread = spread_of(deviations);
  const double t = student_quantile(spread.degrees);
  const bool share = first.range_.low == kShare.low && first.range_.high == kShare.high;
  if (share && std::min(words_off(values, 0), words_off(values, 1)) < kFewestWords) {
    constexpr double kRounding = 1e-24;  // a variance of equal numbers
    const double throws = spread.variance > kRounding ? std::min(out.mean * (1 - out.mean) / spread.variance, static_cast<double>(out.n)) : spread.words;
    const double square = t * t, middle = (out.mean + square / (2 * throws)) / (1 + square / throws);
    const double half = t / (1 + square / throws) * std::sqrt(out.mean * (1 - out.mean) / throws + square / (4 * throws * throws));
    out.low = std::max(0.0, std::min(middle - half, out.mean));
    out.high = std::min(1.0, std::max(middle + half, out.mean));
    return out;
  }
  const double half = t * std::sqrt(spread.variance);
  out.low = std::max(first.range_.low, out.mean - half);
  out.high = std::min(first.range_.high, out.mean + half);
  return out;
}

Score score_of(const std::vector<Observation>& observations, Range range) {
  RunningScore running(range);
  for (const auto& one : observations) running.add(one);
  return running.score();
}

Score score_of_means(const std::vector<std::vector<Observation>>& lists, const std::function<double(const std::vector<double>& means)>& of, Range range) {
  std::vector<RunningScore> running(lists.size(), RunningScore(range));
  std::vector<const RunningScore*> all;
  for (size_t i = 0; i < lists.size(); ++i) {
    for (const auto& one : lists[i]) running[i].add(one);
    all.push_back(&running[i]);
  }
  return RunningScore::of_means(all, of);
}

std::optional<PlotValue> plot_value(const Score& score) {
  if (score.n == 0) return std::nullopt;
  return PlotValue{score.mean, score.low, score.high};
}

}  // namespace glyphscope
