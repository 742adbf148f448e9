#pragma once

#include <map>
#include <string>
#include <vector>

#include "experiments/cells.h"
#include "experiments/set_kind.h"
#include "experiments/statistics.h"

namespace glyphscope {

/// Mean scores of a variant over those of the cells that have it.
std::map<std::string, Score> scores_over(Cells& cells, const RunSettings& settings, const std::vector<Cell>& over, const Variant& variant);

/// What a set of sites must do, by the pictures of the cells that choose.
struct Demand {
  double own = 0;           ///< Mean target F1 of B's own pictures,
  double kept_share = 0.9;  ///< of which a set must keep this share.
  double chance = 0;        ///< The same of A's own pictures: letters that they share with B's text by chance. What does not exceed it has moved nothing.

  double wanted() const { return kept_share * own; }
  bool keeps(const std::map<std::string, Score>& scores) const;
};
/// How far a picture's text went from A's to B's.
double moved(const std::map<std::string, Score>& scores);

/// A set that was tried, and how it did on the cells that choose.
struct TriedSet {
  Variant variant;
  SetKind kind = SetKind::site;
  std::map<std::string, Score> choosing;
};

struct SmallestSet {
  std::vector<int> sites;                                                 ///< Empty if none keeps enough.
  std::vector<TriedSet> tried;                                            ///< Sets of several sites that could keep enough to the end.
  std::vector<std::pair<std::vector<Cell>, std::vector<Variant>>> drawn;  ///< What was asked of which cells, in order.
};

/// The smallest set that keeps enough of B's text: of all single sites, all pairs of the ten best, then the best three, four and so on together, all of
/// them. singles: one a site, scored on `choosing`. Of sets of a size the one that moves the text most. name: what its questions' names begin with.
SmallestSet find_smallest_set(Cells& cells, const RunSettings& settings, const std::string& name, int from_step, const std::vector<Cell>& choosing,
                              const std::vector<TriedSet>& singles, const Demand& demand);

}  // namespace glyphscope
