#include "experiments/smallest_set.h"

#include <algorithm>

#include "experiments/localization.h"

namespace glyphscope {

std::map<std::string, Score> scores_over(Cells& cells, const RunSettings& settings, const std::vector<Cell>& over, const Variant& variant) {
  RunningScores running(settings);
  for (const Cell& cell : over)
    if (const MeasuredVariant* one = cells.find(cell, variant)) running.add(one->scores, cell.pair, cell.noise);
  return running.scores();
}

bool Demand::keeps(const std::map<std::string, Score>& scores) const {
  const double f1 = scores.at("target_f1").mean;
  return own > 0 && f1 >= wanted() && f1 > chance;
}

double moved(const std::map<std::string, Score>& scores) { return scores.at("target_f1").mean - scores.at("source_f1").mean; }

namespace {

class Search {
 public:
  Search(Cells& cells, const RunSettings& settings, std::string name, int from_step, const std::vector<Cell>& choosing, const Demand& demand)
      : cells_(cells), settings_(settings), name_(std::move(name)), from_step_(from_step), choosing_(choosing), demand_(demand) {}

  SmallestSet run(const std::vector<TriedSet>& singles) {
    std::vector<const TriedSet*> ranked;
    for (const auto& site : singles) ranked.push_back(&site);
    std::stable_sort(ranked.begin(), ranked.end(), [](const auto* a, const auto* b) { return moved(a->choosing) > moved(b->choosing); });
    std::vector<int> order;
    for (const auto* site : ranked) order.push_back(site->variant.sites().front());
    for (const auto* site : ranked)
      if (out_.sites.empty() && demand_.keeps(site->choosing)) out_.sites = site->variant.sites();

    constexpr size_t kBest = 10;
    std::vector<std::vector<int>> candidates;
    for (size_t a = 0; a < std::min(kBest, order.size()); ++a)
      for (size_t b = a + 1; b < std::min(kBest, order.size()); ++b) candidates.push_back({order[a], order[b]});
    if (order.size() > 2) try_sets(SetKind::pair, candidates);
    // In ever longer lists: most of those that are too small are given up after a few cells.
    for (size_t size = 3, next = 5; size < order.size(); size = next, next *= 2) {
      candidates.clear();
      for (size_t count = size; count < std::min(next, order.size()); ++count)
        candidates.emplace_back(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count));
      try_sets(SetKind::ranked, candidates);
    }
    if (order.size() > 1) try_sets(SetKind::all, {order});
    return std::move(out_);
  }

 private:
  // Tries sets of sites, if nothing smaller was found: of the smallest that keep enough, the one that moves the text most.
  void try_sets(SetKind kind, std::vector<std::vector<int>> candidates) {
    if (!out_.sites.empty() || candidates.empty() || demand_.own <= 0) return;
    for (auto& sites : candidates) std::sort(sites.begin(), sites.end());
    const std::string name = name_ + "-" + std::string(set_kind_name(kind)) + "-" + std::to_string(candidates.front().size());
    std::map<std::vector<int>, double> sums;
    // In rounds of ever more cells.
    for (size_t done = 0, round = 1; done < choosing_.size(); round = std::min(2 * round, choosing_.size() - done)) {
      Question question{name + "-from" + std::to_string(done), "pairs, sets of sites", {}, {}};
      question.cells.assign(choosing_.begin() + static_cast<std::ptrdiff_t>(done), choosing_.begin() + static_cast<std::ptrdiff_t>(done + round));
      for (const auto& sites : candidates) question.variants.push_back(sites_variant(sites, from_step_));
      cells_.expect(static_cast<std::int64_t>((choosing_.size() - done - round) * candidates.size()));
      cells_.answer({question});
      out_.drawn.emplace_back(question.cells, question.variants);
      done += round;
      for (const Cell& cell : question.cells)
        for (size_t i = 0; i < candidates.size(); ++i) sums[candidates[i]] += cells_.find(cell, question.variants[i])->scores.at("target_f1");
      // Given up is what could not keep enough even if all that follows were perfect.
      const double best = static_cast<double>(choosing_.size() - done), least = demand_.wanted() * static_cast<double>(choosing_.size()) - 1e-9;
      std::erase_if(candidates, [&](const auto& sites) { return sums.at(sites) + best < least; });
      if (candidates.empty()) return;
    }
    const TriedSet* found = nullptr;
    const size_t begin = out_.tried.size();
    for (const auto& sites : candidates) {
      const Variant variant = sites_variant(sites, from_step_);
      out_.tried.push_back({variant, kind, scores_over(cells_, settings_, choosing_, variant)});
    }
    const auto count = [](const TriedSet& set) { return set.variant.sites().size(); };
    for (size_t i = begin; i < out_.tried.size(); ++i) {
      const TriedSet& set = out_.tried[i];
      if (demand_.keeps(set.choosing) &&
          (!found || count(set) < count(*found) || (count(set) == count(*found) && moved(set.choosing) > moved(found->choosing))))
        found = &set;
    }
    if (found) out_.sites = found->variant.sites();
  }

  Cells& cells_;
  const RunSettings& settings_;
  std::string name_;
  int from_step_;
  const std::vector<Cell>& choosing_;
  const Demand& demand_;
  SmallestSet out_;
};

}  // namespace

SmallestSet find_smallest_set(Cells& cells, const RunSettings& settings, const std::string& name, int from_step, const std::vector<Cell>& choosing,
                              const std::vector<TriedSet>& singles, const Demand& demand) {
  return Search(cells, settings, name, from_step, choosing, demand).run(singles);
}

}  // namespace glyphscope
