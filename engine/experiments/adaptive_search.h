#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "experiments/cells.h"
#include "experiments/smallest_set.h"

namespace glyphscope {

/// What a search that does not try every site on every cell found, and what it took.
struct AdaptiveSearch {
  std::vector<int> sites;                            ///< The smallest set found that keeps enough on all cells. Empty: none does.
  std::vector<double> gradients;                     ///< Of each site, mean over some cells: what orders the tests.
  std::vector<int> tested_alone;                     ///< Sites that were patched alone, on some cells at least.
  std::vector<int> alone_on_all;                     ///< Those of them on all cells.
  double rank_correlation = 0;                       ///< Of gradients and effects, of the sites that were patched alone: Spearman's.
  std::vector<std::vector<int>> not_enough;          ///< Groups that together were not enough, so that none of their sets is. They may do something.
  std::int64_t pictures = 0;                         ///< That it asked for, A's and B's own among them.
  std::int64_t gradient_rows = 0, picture_rows = 0;  ///< Rows through the denoiser: of all gradients, and of one picture.
};

/// How a set is searched: every site alone on every cell that chooses, then sets of the best; or by search_adaptively() with gradients towards either.
enum class SetSearch { exhaustive, adaptive, adaptive_reader };
const char* to_string(SetSearch search);
/// "exhaustive", "adaptive" or "adaptive-reader". Throws a Failure.
SetSearch parse_set_search(const std::string& text);
inline Towards towards_of(SetSearch search) { return search == SetSearch::adaptive_reader ? Towards::reader : Towards::prediction; }

/// Finds the smallest set of sites that keeps enough of B's text: orders sites by gradients on a few cells; finds how many of the first are enough, by doubling
/// and halving; leaves out groups of them, ever smaller ones, as long as what is left is enough; looks for a smaller set within them, and, by one test of all
/// other sites together, for one among those; and verifies what it found on all cells. Where that fails it begins again with twice as many cells.
/// Throws a Failure; RunIncomplete as Cells has it.
AdaptiveSearch search_adaptively(Cells& cells, const SiteTable& table, int from_step, const std::vector<Cell>& over, double kept_share,
                                 Towards towards = Towards::prediction);

/// Spearman's rank correlation; 0 where one of the two does not vary.
double rank_correlation(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace glyphscope
