#include "experiments/inference.h"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <map>
#include <numeric>

#include "core/error.h"
#include "core/random.h"

namespace glyphscope {

double p_value_above_zero(const std::vector<Observation>& differences) {
  std::map<int, std::pair<double, int>> words;
  for (const auto& one : differences) {
    words[one.word].first += one.value;
    ++words[one.word].second;
  }
  std::vector<double> means{0};
  for (const auto& [_, sum] : words) means.push_back(sum.first / sum.second);
  const auto n = static_cast<double>(means.size());
  const double mean = std::accumulate(means.begin(), means.end(), 0.0) / n;
  double squares = 0;
  for (const double one : means) squares += (one - mean) * (one - mean);
  if (squares == 0) return 1;
  return boost::math::cdf(boost::math::complement(boost::math::students_t(n - 1), mean / std::sqrt(squares / (n - 1) / n)));
}

std::vector<bool> benjamini_hochberg(const std::vector<double>& p_values, double level) {
  std::vector<double> sorted = p_values;
  std::sort(sorted.begin(), sorted.end());
  double largest = -1;
  for (size_t i = 0; i < sorted.size(); ++i)
    if (sorted[i] <= level * static_cast<double>(i + 1) / static_cast<double>(sorted.size())) largest = sorted[i];
  std::vector<bool> out;
  for (const double one : p_values) out.push_back(one <= largest);
  return out;
}

std::vector<double> shapley_values(int players, const std::function<double(std::uint32_t set)>& value) {
  if (players < 0 || players > 20) reject("Shapley values of " + std::to_string(players) + " players cannot be enumerated");
  const std::uint32_t all = std::uint32_t{1} << players;
  std::vector<double> values;
  for (std::uint32_t set = 0; set < all; ++set) values.push_back(value(set));
  // Of all orders, those in which just the others of a set come before a player.
  std::vector<double> weights(static_cast<size_t>(players));
  for (int before = 0; before < players; ++before)
    weights[static_cast<size_t>(before)] = std::exp(std::lgamma(before + 1) + std::lgamma(players - before) - std::lgamma(players + 1));
  std::vector<double> out(static_cast<size_t>(players));
  for (int player = 0; player < players; ++player)
    for (std::uint32_t set = 0; set < all; ++set)
      if (!(set >> player & 1))
        out[static_cast<size_t>(player)] += weights[static_cast<size_t>(__builtin_popcount(set))] * (values[set | std::uint32_t{1} << player] - values[set]);
  return out;
}

std::vector<double> sampled_shapley_values(int players, int orders, std::uint64_t seed, const std::function<double(std::uint32_t set)>& value) {
  if (players < 1 || players > 31 || orders < 1) reject("Shapley values are sampled of 1 to 31 players and at least one order");
  Choice choice(seed);
  std::vector<double> out(static_cast<size_t>(players));
  std::vector<int> order(static_cast<size_t>(players));
  std::iota(order.begin(), order.end(), 0);
  for (int i = 0; i < orders; ++i) {
    for (int k = players - 1; k > 0; --k) std::swap(order[static_cast<size_t>(k)], order[static_cast<size_t>(choice.below(k + 1))]);
    for (int way = 0; way < 2; ++way) {
      std::uint32_t set = 0;
      double before = value(0);
      for (const int player : order) {
        set |= std::uint32_t{1} << player;
        const double after = value(set);
        out[static_cast<size_t>(player)] += (after - before) / (2.0 * orders);
        before = after;
      }
      std::reverse(order.begin(), order.end());
    }
  }
  return out;
}

}  // namespace glyphscope
