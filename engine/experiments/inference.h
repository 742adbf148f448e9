#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "experiments/statistics.h"

namespace glyphscope {

/// How likely a mean of words this far above 0 is where there is no effect: one-sided, Student's t of the words' means, with one more word that shows nothing,
/// so that few words that agree are not certain. 1 where there is nothing.
double p_value_above_zero(const std::vector<Observation>& differences);

/// Which of the hypotheses are rejected if a share `level` of those that are may be false: Benjamini and Hochberg (JRSS B 57, 1995).
std::vector<bool> benjamini_hochberg(const std::vector<double>& p_values, double level);

/// What each of `players` adds to a game, on average over all orders in which they may come (Shapley, 1953): from the value of each set of them, a bit each.
/// Up to 20 players.
std::vector<double> shapley_values(int players, const std::function<double(std::uint32_t set)>& value);
/// The same estimated from this many orders, drawn by chance, each with its reverse.
std::vector<double> sampled_shapley_values(int players, int orders, std::uint64_t seed, const std::function<double(std::uint32_t set)>& value);

}  // namespace glyphscope
