#include "experiments/adaptive_search.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <tuple>

#include "core/error.h"

namespace glyphscope {

namespace {

constexpr size_t kFirstCells = 3, kGradientCells = 3;

class Searching {
 public:
  Searching(Cells& cells, const SiteTable& table, int from_step, const std::vector<Cell>& over, double kept_share, Towards towards)
      : cells_(cells), table_(table), from_step_(from_step), over_(over), kept_share_(kept_share), towards_(towards) {}

  AdaptiveSearch run() {
    ask({}, over_.size());  // A's and B's own pictures
    // Where B's text differs most from A's, a test tells most.
    std::stable_sort(over_.begin(), over_.end(), [&](const Cell& a, const Cell& b) { return told(a) > told(b); });
    order_sites();
    for (size_t first = std::min(kFirstCells, over_.size());; first = std::min(2 * first, over_.size())) {
      const std::vector<std::vector<int>> found = candidates(first);
      out_.sites = best_on_all(found);
      if (!out_.sites.empty() || first == over_.size()) break;
    }
    finish();
    return std::move(out_);
  }

 private:
  Variant variant(const std::vector<int>& sites) const { return sites_variant(sites, from_step_); }
  double f1(const Cell& cell, const Variant& one) const { return cells_.find(cell, one)->scores.at("target_f1"); }
  double told(const Cell& cell) const { return f1(cell, own_picture(1)) - f1(cell, own_picture(0)); }
  double mean(const Variant& one, size_t first) const {
    double sum = 0;
    for (size_t i = 0; i < first; ++i) sum += f1(over_[i], one);
    return sum / static_cast<double>(first);
  }

  // Draws sets on the first cells.
  void ask(const std::vector<std::vector<int>>& sets, size_t first) {
    Question question{
        "adaptive-" + std::to_string(asked_++), "cells that choose, sets of sites", {}, {over_.begin(), over_.begin() + static_cast<std::ptrdiff_t>(first)}};
    for (const auto& sites : sets) question.variants.push_back(variant(sites));
    for (const Cell& cell : question.cells) {
      if (seen_.insert({cell.pair, cell.noise, "A and B"}).second) out_.pictures += 2;
      for (const auto& one : question.variants) out_.pictures += seen_.insert({cell.pair, cell.noise, one.label}).second ? 1 : 0;
      for (const auto& sites : sets)
        if (sites.size() == 1) alone_[sites.front()].insert({cell.pair, cell.noise});
    }
    cells_.answer({question});
  }

  // Whether a set keeps enough on the first cells, of B's own text there.
  bool keeps(const std::vector<int>& sites, size_t first) {
    const double own = mean(own_picture(1), first), f1 = mean(variant(sites), first);
    return own > 0 && f1 >= kept_share_ * own - 1e-9 && f1 > mean(own_picture(0), first);
  }
  bool enough(const std::vector<int>& sites, size_t first) {
    if (sites.empty()) return false;
    std::vector<int> sorted = sites;
    std::sort(sorted.begin(), sorted.end());
    ask({sorted}, first);
    return keeps(sorted, first);
  }

  void order_sites() {
    out_.gradients.assign(table_.sites.size(), 0);
    const size_t count = std::min(kGradientCells, over_.size());
    for (size_t i = 0; i < count; ++i) {
      const SiteGradients gradients = cells_.gradients(over_[i], from_step_, towards_);
      for (size_t site = 0; site < out_.gradients.size(); ++site) out_.gradients[site] += gradients.effects[site] / static_cast<double>(count);
      out_.gradient_rows += gradients.denoiser_rows;
      out_.picture_rows = gradients.picture_rows;
    }
    for (const auto& site : table_.sites) order_.push_back(site.index);
    std::stable_sort(order_.begin(), order_.end(),
                     [&](int a, int b) { return out_.gradients[static_cast<size_t>(a)] > out_.gradients[static_cast<size_t>(b)]; });
  }

  // Sets that are enough on the first cells, each without a site that could be left out; none if not even all sites are.
  std::vector<std::vector<int>> candidates(size_t first) {
    out_.not_enough.clear();
    std::vector<std::vector<int>> found;
    std::vector<int> left = order_;
    // What is enough is looked for among all; then among those that are no part of it.
    constexpr size_t kMostSets = 4;
    while (!left.empty() && found.size() < kMostSets) {
      const std::vector<int> prefix = enough_prefix(left, first);
      if (prefix.empty()) {
        if (left.size() < order_.size()) out_.not_enough.push_back(left);
        break;
      }
      const std::vector<int> least = smaller_within(minimal(prefix, first), prefix, first);
      found.push_back(least);
      std::erase_if(left, [&](int site) { return std::find(least.begin(), least.end(), site) != least.end(); });
      if (least.size() > found.front().size()) break;
    }
    return found;
  }

  // How many of the first sites of a list are enough.
  std::vector<int> enough_prefix(const std::vector<int>& list, size_t first) {
    const auto prefix = [&](size_t count) { return std::vector<int>(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(count)); };
    if (!enough(list, first)) return {};
    size_t low = 0, high = 1;
    while (high < list.size() && !enough(prefix(high), first)) {
      low = high;
      high = std::min(2 * high, list.size());
    }
    while (high - low > 1) {
      const size_t middle = (low + high) / 2;
      (enough(prefix(middle), first) ? high : low) = middle;
    }
    return prefix(high);
  }

  // Leaves out what is not needed: groups of the last sites first, ever smaller ones.
  std::vector<int> minimal(std::vector<int> sites, size_t first) {
    for (size_t group = sites.size() / 2; group > 0; group /= 2)
      for (size_t end = sites.size(); end > 0;) {
        const size_t begin = end > group ? end - group : 0;
        std::vector<int> rest(sites.begin(), sites.begin() + static_cast<std::ptrdiff_t>(begin));
        rest.insert(rest.end(), sites.begin() + static_cast<std::ptrdiff_t>(std::min(end, sites.size())), sites.end());
        if (enough(rest, first)) sites = rest;
        end = begin;
      }
    std::sort(sites.begin(), sites.end());
    return sites;
  }

  // A smaller set than `least` within what was enough, if one of a few is: single sites, then pairs of the best.
  std::vector<int> smaller_within(const std::vector<int>& least, const std::vector<int>& among, size_t first) {
    constexpr size_t kMostAlone = 8, kMostPaired = 5;
    for (size_t size = 1; size < std::min<size_t>(least.size(), 3); ++size) {
      std::vector<std::vector<int>> sets;
      if (size == 1)
        for (size_t i = 0; i < std::min(kMostAlone, among.size()); ++i) sets.push_back({among[i]});
      else
        for (size_t i = 0; i < std::min(kMostPaired, among.size()); ++i)
          for (size_t k = i + 1; k < std::min(kMostPaired, among.size()); ++k) sets.push_back({std::min(among[i], among[k]), std::max(among[i], among[k])});
      ask(sets, first);
      const std::vector<int>* best = nullptr;
      for (const auto& one : sets)
        if (keeps(one, first) && (!best || mean(variant(one), first) > mean(variant(*best), first))) best = &one;
      if (best) return *best;
    }
    return least;
  }

  // The smallest of these sets that keeps enough on all cells; of several the one that moves the text most. In rounds of ever more cells.
  std::vector<int> best_on_all(std::vector<std::vector<int>> sets) {
    for (size_t first = std::min(kFirstCells, over_.size()); !sets.empty(); first = std::min(2 * first, over_.size())) {
      ask(sets, first);
      const double all = static_cast<double>(over_.size()), wanted = kept_share_ * mean(own_picture(1), over_.size()) * all;
      std::erase_if(sets, [&](const auto& one) {
        return mean(variant(one), first) * static_cast<double>(first) + static_cast<double>(over_.size() - first) < wanted - 1e-9;
      });
      if (first == over_.size()) break;
    }
    const std::vector<int>* best = nullptr;
    const auto text_moved = [&](const std::vector<int>& one) {
      double sum = 0;
      for (const Cell& cell : over_) sum += moved_of(cells_.find(cell, variant(one))->scores);
      return sum;
    };
    for (const auto& one : sets)
      if (keeps(one, over_.size()) && (!best || one.size() < best->size() || (one.size() == best->size() && text_moved(one) > text_moved(*best)))) best = &one;
    return best ? *best : std::vector<int>();
  }
  static double moved_of(const Scores& scores) { return scores.at("target_f1") - scores.at("source_f1"); }

  // A few of the first sites alone, where they were not tried: whether gradients order them as they should.
  void finish() {
    constexpr size_t kAlone = 3;
    std::vector<std::vector<int>> singles;
    for (size_t i = 0; i < std::min(kAlone, order_.size()); ++i) singles.push_back({order_[i]});
    const size_t first = std::min(kFirstCells, over_.size());
    ask(singles, first);
    std::vector<double> gradients, effects;
    for (const auto& [site, cells] : alone_) {
      out_.tested_alone.push_back(site);
      if (cells.size() == over_.size()) out_.alone_on_all.push_back(site);
      gradients.push_back(out_.gradients[static_cast<size_t>(site)]);
      effects.push_back(mean(variant({site}), first));
    }
    out_.rank_correlation = rank_correlation(gradients, effects);
    for (auto& group : out_.not_enough) std::sort(group.begin(), group.end());
  }

  Cells& cells_;
  const SiteTable& table_;
  int from_step_;
  std::vector<Cell> over_;
  double kept_share_;
  Towards towards_;
  int asked_ = 0;
  std::vector<int> order_;
  std::set<std::tuple<int, int, std::string>> seen_;
  std::map<int, std::set<std::pair<int, int>>> alone_;
  AdaptiveSearch out_;
};

}  // namespace

const char* to_string(SetSearch search) {
  switch (search) {
    case SetSearch::exhaustive:
      return "exhaustive";
    case SetSearch::adaptive:
      return "adaptive";
    case SetSearch::adaptive_reader:
      break;
  }
  return "adaptive-reader";
}

SetSearch parse_set_search(const std::string& text) {
  for (const SetSearch one : {SetSearch::exhaustive, SetSearch::adaptive, SetSearch::adaptive_reader})
    if (text == to_string(one)) return one;
  reject("'" + text + "' is no way to search: exhaustive, adaptive and adaptive-reader are");
}

AdaptiveSearch search_adaptively(Cells& cells, const SiteTable& table, int from_step, const std::vector<Cell>& over, double kept_share, Towards towards) {
  return Searching(cells, table, from_step, over, kept_share, towards).run();
}

double rank_correlation(const std::vector<double>& a, const std::vector<double>& b) {
  // Ties have the mean of their ranks.
  const auto ranks = [](const std::vector<double>& values) {
    std::vector<size_t> order(values.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(), [&](size_t i, size_t k) { return values[i] < values[k]; });
    std::vector<double> out(values.size());
    for (size_t begin = 0, end = 0; begin < order.size(); begin = end) {
      while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
      for (size_t i = begin; i < end; ++i) out[order[i]] = static_cast<double>(begin + end - 1) / 2;
    }
    return out;
  };
  const std::vector<double> x = ranks(a), y = ranks(b);
  const auto n = static_cast<double>(x.size());
  const double mx = std::accumulate(x.begin(), x.end(), 0.0) / n, my = std::accumulate(y.begin(), y.end(), 0.0) / n;
  double xy = 0, xx = 0, yy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    xy += (x[i] - mx) * (y[i] - my);
    xx += (x[i] - mx) * (x[i] - mx);
    yy += (y[i] - my) * (y[i] - my);
  }
  return xx > 0 && yy > 0 ? xy / std::sqrt(xx * yy) : 0;
}

}  // namespace glyphscope
