#include "experiments/localization.h"

#include <torch/types.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "core/error.h"
#include "core/random.h"
#include "io/files.h"

namespace glyphscope {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

constexpr const char* kLocalizationFile = "localization.json";

}  // namespace

ordered_json LocalizationSettings::question() const {
  return {{"from_step", from_step},
          {"localized_f1_share", localized_f1_share},
          {"localized_ssim", localized_ssim},
          {"kept_f1_share", kept_f1_share},
          {"random_sets", random_sets}};
}

ordered_json LocalizationSettings::to_json() const {
  ordered_json out = RunSettings::to_json();
  out.update(question());
  return out;
}

LocalizationSettings LocalizationSettings::read(const fs::path& run) {
  LocalizationSettings out;
  const fs::path file = run / "settings.json", asked = run / kLocalizationFile;
  static_cast<RunSettings&>(out) = reading_json(file, [&] { return RunSettings::from_json(read_json(file).at("settings"), file.string()); });
  return reading_json(asked, [&] {
    const auto question = read_json(asked).at("settings");
    question.at("from_step").get_to(out.from_step);
    question.at("localized_f1_share").get_to(out.localized_f1_share);
    question.at("localized_ssim").get_to(out.localized_ssim);
    question.at("kept_f1_share").get_to(out.kept_f1_share);
    question.at("random_sets").get_to(out.random_sets);
    return out;
  });
}

ordered_json PairResult::to_json() const {
  ordered_json list = ordered_json::array();
  for (const auto& one : patched) list.push_back(one.to_json());
  ordered_json out{{"pair", pair}, {"noise", noise}};
  const auto own = [](const Measurement& one) {
    const ordered_json all = MeasuredVariant{one, {}, {}}.to_json();
    return ordered_json{{"read", all["read"]}, {"scores", all["scores"]}};
  };
  out["source"] = own(source);
  out["target"] = own(target);
  out["patched"] = list;
  return out;
}

const MeasuredVariant* PairResult::of(const Variant& variant) const {
  const auto found = std::find_if(patched.begin(), patched.end(), [&](const MeasuredVariant& one) { return one.variant == variant; });
  return found == patched.end() ? nullptr : &*found;
}

std::vector<Variant> single_sites(const SiteTable& table, int from_step) {
  std::vector<Variant> out;
  for (const auto& site : table.sites) out.push_back(sites_variant({site.index}, from_step));
  return out;
}

Halves halves_of(const std::vector<PromptPair>& pairs) {
  const std::vector<int> clusters = word_clusters(pairs);
  const int count = clusters.empty() ? 0 : 1 + *std::max_element(clusters.begin(), clusters.end());
  Halves out;
  for (int pair = 0; pair < static_cast<int>(pairs.size()); ++pair)
    (2 * clusters[static_cast<size_t>(pair)] < count ? out.choosing : out.reporting).push_back(pair);
  if (count < 2) out.reporting = out.choosing;
  return out;
}

namespace {

// The paper's code computes F1 of the mean precision and the mean recall.
double f1_of_means(const std::vector<double>& means) { return means[0] + means[1] > 0 ? 2 * means[0] * means[1] / (means[0] + means[1]) : 0; }

}  // namespace

std::map<std::string, Score> mean_scores(const RunSettings& settings, const std::vector<PairResult>& pairs,
                                         const std::function<const Measurement*(const PairResult&)>& pick) {
  const std::vector<int> clusters = word_clusters(settings.pairs);
  std::map<std::string, std::vector<Observation>> observations;
  for (const auto& pair : pairs)
    if (const Measurement* one = pick(pair))
      for (const auto& [name, value] : one->scores) observations[name].push_back({value, clusters[static_cast<size_t>(pair.pair)], pair.noise});
  std::map<std::string, Score> out;
  for (const auto& [name, list] : observations) out[name] = score_of(list);
  for (const std::string text : {"target", "source"})
    if (out.contains(text + "_precision"))
      out[text + "_f1_of_means"] = score_of_means({observations[text + "_precision"], observations[text + "_recall"]}, f1_of_means);
  return out;
}

RunningScores::RunningScores(const RunSettings& settings) : clusters_(word_clusters(settings.pairs)), noises_(static_cast<int>(settings.seeds.size())) {
  for (const int cluster : clusters_) words_ = std::max(words_, cluster + 1);
}

void RunningScores::add(const Scores& scores, int pair, int noise) {
  for (const auto& [name, value] : scores) running_.try_emplace(name, words_, noises_).first->second.add({value, clusters_[static_cast<size_t>(pair)], noise});
}

std::map<std::string, Score> RunningScores::scores() const {
  std::map<std::string, Score> out;
  for (const auto& [name, score] : running_) out[name] = score.score();
  for (const std::string text : {"target", "source"})
    if (out.contains(text + "_precision"))
      out[text + "_f1_of_means"] = RunningScore::of_means({&running_.at(text + "_precision"), &running_.at(text + "_recall")}, f1_of_means);
  return out;
}

std::vector<std::vector<int>> matched_random_sets(const SiteTable& table, const std::vector<int>& set, const std::vector<int>& chosen, int count,
                                                  std::uint64_t seed) {
  std::vector<int> others;
  for (const auto& site : table.sites)
    if (std::find(chosen.begin(), chosen.end(), site.index) == chosen.end() && std::find(set.begin(), set.end(), site.index) == set.end())
      others.push_back(site.index);
  if (others.size() < set.size()) return {};
  const auto parameters = [&](const std::vector<int>& sites) {
    std::int64_t sum = 0;
    for (const int site : sites) sum += table.sites[static_cast<size_t>(site)].kv_parameters;
    return sum;
  };
  // More are drawn than are wanted, and the nearest in size kept.
  constexpr int kDrawn = 2000;
  std::vector<std::vector<int>> drawn = random_site_sets(others, set, kDrawn, seed);
  const std::int64_t own = parameters(set);
  std::stable_sort(drawn.begin(), drawn.end(), [&](const auto& a, const auto& b) { return std::abs(parameters(a) - own) < std::abs(parameters(b) - own); });
  if (static_cast<int>(drawn.size()) > count) drawn.resize(static_cast<size_t>(count));
  return drawn;
}

namespace {

bool is_one_of(const std::vector<int>& list, int one) { return std::find(list.begin(), list.end(), one) != list.end(); }

// The protocol: which sets of sites are tried on which pairs, and what is concluded.
class Localization {
 public:
  Localization(Cells& cells, const LocalizationSettings& settings, const SiteTable& table, const LocalizationObserver& observer)
      : table_(table), settings_(settings), observer_(observer), cells_(cells) {}

  LocalizationResult run() {
    const Halves halves = halves_of(settings_.pairs);
    result_.choosing = halves.choosing;
    result_.reporting = halves.reporting;
    for (const Cell& cell : settings_.cells()) result_.pairs.push_back({cell.pair, cell.noise, {}, {}, {}});
    draw_sites();

    const std::vector<int> clusters = word_clusters(settings_.pairs);
    std::set<int> reporting;
    for (const int pair : halves.reporting) reporting.insert(clusters[static_cast<size_t>(pair)]);
    result_.word_clusters = static_cast<int>(reporting.size());
    const auto source = [](const PairResult& pair) { return &pair.source; };
    const auto target = [](const PairResult& pair) { return &pair.target; };
    choosing_source_ = mean_scores(settings_, of(halves.choosing), source);
    choosing_target_ = mean_scores(settings_, of(halves.choosing), target);
    result_.source = mean_scores(settings_, of(halves.reporting), source);
    result_.target = mean_scores(settings_, of(halves.reporting), target);
    for (const auto& site : table_.sites)
      result_.sites.push_back({variant({site.index}), SetKind::site, scores(halves.choosing, {site.index}), scores(halves.reporting, {site.index})});
    choose_localized();
    choose_smallest();
    report();
    return std::move(result_);
  }

 private:
  Variant variant(const std::vector<int>& sites) const { return sites_variant(sites, settings_.from_step); }
  std::vector<int> all_sites() const {
    std::vector<int> out;
    for (const auto& site : table_.sites) out.push_back(site.index);
    return out;
  }

  std::vector<PairResult> of(const std::vector<int>& pairs) const {
    std::vector<PairResult> out;
    for (const auto& one : result_.pairs)
      if (is_one_of(pairs, one.pair)) out.push_back(one);
    return out;
  }
  std::vector<PairResult*> results_of(const std::vector<int>& pairs) {
    std::vector<PairResult*> out;
    for (auto& one : result_.pairs)
      if (is_one_of(pairs, one.pair)) out.push_back(&one);
    return out;
  }

  std::map<std::string, Score> scores(const std::vector<int>& pairs, const std::vector<int>& sites) const {
    return mean_scores(settings_, of(pairs), [&](const PairResult& pair) { return pair.of(variant(sites)); });
  }

  // Every site alone on every cell. All sites together are a control, whatever is found: with the others they take no turn of their own.
  void draw_sites() {
    std::vector<Variant> singles = single_sites(table_, settings_.from_step), with_whole = singles;
    if (singles.size() > 1) with_whole.push_back(variant(all_sites()));
    const std::string title = "pairs, every site alone";
    Question choosing{"sites-choosing", title, singles, {}}, reporting{"sites-reporting", title, with_whole, {}};
    for (const Cell& cell : settings_.cells()) (is_one_of(result_.reporting, cell.pair) ? reporting : choosing).cells.push_back(cell);
    // At least the random sets follow.
    const auto controls = static_cast<std::int64_t>(reporting.cells.size()) * (settings_.random_sets + 1);
    const auto done = [&](const Cell& cell, const torch::Tensor& images) {
      PairResult& result = *std::find_if(result_.pairs.begin(), result_.pairs.end(), [&](const PairResult& one) { return Cell{one.pair, one.noise} == cell; });
      fill(result, with_whole);
      observer_.pair_done(result, images);
    };
    cells_.expect(controls);
    cells_.answer(choosing.cells.empty() ? std::vector<Question>{reporting} : std::vector<Question>{choosing, reporting}, done);
    cells_.expect(0);
    for (auto& result : result_.pairs) fill(result, with_whole);  // those of other shards too
  }

  // Takes what was measured of these variants, as far as it was.
  void fill(PairResult& result, const std::vector<Variant>& variants) {
    const Cell cell{result.pair, result.noise};
    for (const int base : {0, 1})
      if (const auto* own = cells_.find(cell, own_picture(base))) (base == 0 ? result.source : result.target) = *own;
    for (const auto& one : variants)
      if (const auto* measured = cells_.find(cell, one); measured && !result.of(one)) result.patched.push_back(*measured);
  }

  // Measures sets of sites on some pairs.
  void draw_sets(const std::string& name, const std::vector<PairResult*>& pairs, const std::vector<std::vector<int>>& sets) {
    Question question{name, "pairs, sets of sites", {}, {}};
    for (const auto& sites : sets) question.variants.push_back(variant(sites));
    for (const auto* pair : pairs) question.cells.push_back({pair->pair, pair->noise});
    cells_.answer({question});
    for (auto* pair : pairs) fill(*pair, question.variants);
  }

  double own() const { return choosing_target_.at("target_f1").mean; }
  // Letters that A's own picture shares with B's text by chance: what does not exceed that has moved nothing.
  double chance() const { return choosing_source_.at("target_f1").mean; }
  double wanted() const { return settings_.kept_f1_share * own(); }
  bool keeps(const std::map<std::string, Score>& scores) const {
    const double f1 = scores.at("target_f1").mean;
    return own() > 0 && f1 >= wanted() && f1 > chance();
  }
  static double moved(const std::map<std::string, Score>& scores) { return scores.at("target_f1").mean - scores.at("source_f1").mean; }

  void choose_localized() {
    for (const auto& site : result_.sites) {
      const Score& f1 = site.choosing.at("target_f1");
      if (f1.low.value_or(f1.mean) >= settings_.localized_f1_share * own() && site.choosing.at("ssim_outside_text").mean >= settings_.localized_ssim &&
          own() > 0 && f1.mean > site.choosing.at("source_f1").mean && f1.mean > chance())
        result_.localized.push_back(site.variant.sites().front());
    }
  }

  void choose_smallest() {
    std::vector<const SetResult*> ranked;
    for (const auto& site : result_.sites) ranked.push_back(&site);
    std::stable_sort(ranked.begin(), ranked.end(), [](const auto* a, const auto* b) { return moved(a->choosing) > moved(b->choosing); });
    std::vector<int> order;
    for (const auto* site : ranked) order.push_back(site->variant.sites().front());
    for (const auto* site : ranked)
      if (result_.smallest.empty() && keeps(site->choosing)) result_.smallest = site->variant.sites();

    constexpr size_t kBest = 10;
    std::vector<std::vector<int>> candidates;
    for (size_t a = 0; a < std::min(kBest, order.size()); ++a)
      for (size_t b = a + 1; b < std::min(kBest, order.size()); ++b) candidates.push_back({order[a], order[b]});
    if (order.size() > 2) search(SetKind::pair, candidates);
    // In ever longer lists: most of those that are too small are given up after a few pairs.
    for (size_t size = 3, next = 5; size < order.size(); size = next, next *= 2) {
      candidates.clear();
      for (size_t count = size; count < std::min(next, order.size()); ++count)
        candidates.emplace_back(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count));
      search(SetKind::ranked, candidates);
    }
    if (order.size() > 1) search(SetKind::all, {order});
  }

  // Tries sets of sites on the pairs that choose, if nothing smaller was found: of the smallest that keep enough, the one that moves the text most.
  void search(SetKind kind, std::vector<std::vector<int>> candidates) {
    if (!result_.smallest.empty() || candidates.empty() || own() <= 0) return;
    for (auto& sites : candidates) std::sort(sites.begin(), sites.end());
    const std::vector<PairResult*> chosen = results_of(result_.choosing);
    const std::string name = std::string(set_kind_name(kind)) + "-" + std::to_string(candidates.front().size());
    std::map<std::vector<int>, double> sums;
    // In rounds of ever more pairs.
    for (size_t done = 0, round = 1; done < chosen.size(); round = std::min(2 * round, chosen.size() - done)) {
      const std::vector<PairResult*> pairs(chosen.begin() + static_cast<std::ptrdiff_t>(done), chosen.begin() + static_cast<std::ptrdiff_t>(done + round));
      cells_.expect(static_cast<std::int64_t>((chosen.size() - done - round) * candidates.size()));
      draw_sets(name + "-from" + std::to_string(done), pairs, candidates);
      done += round;
      for (const auto* pair : pairs)
        for (const auto& sites : candidates) sums[sites] += pair->of(variant(sites))->scores.at("target_f1");
      // Given up is what could not keep enough even if all that follows were perfect.
      const double best = static_cast<double>(chosen.size() - done), least = wanted() * static_cast<double>(chosen.size()) - 1e-9;
      std::erase_if(candidates, [&](const auto& sites) { return sums.at(sites) + best < least; });
      if (candidates.empty()) return;
    }
    const auto count = [](const SetResult& set) { return set.variant.sites().size(); };
    const SetResult* found = nullptr;
    for (const auto& sites : candidates) result_.sets.push_back({variant(sites), kind, scores(result_.choosing, sites), {}});
    for (const auto& set : result_.sets)
      if (set.kind == kind && keeps(set.choosing) &&
          (!found || count(set) < count(*found) || (count(set) == count(*found) && moved(set.choosing) > moved(found->choosing))))
        found = &set;
    if (found) result_.smallest = found->variant.sites();
  }

  // What was chosen, on the pairs that had no part in it, with controls of its size that hold no chosen site.
  void report() {
    std::vector<std::pair<std::vector<int>, SetKind>> sets;
    if (result_.smallest.size() > 1) sets.emplace_back(result_.smallest, SetKind::smallest);
    std::vector<int> chosen = result_.localized;
    const std::vector<int> all = all_sites();
    chosen.insert(chosen.end(), result_.smallest.begin(), result_.smallest.end());
    const std::vector<int>& like = result_.smallest.empty() ? result_.localized : result_.smallest;
    if (!like.empty())
      for (auto& one : matched_random_sets(table_, like, chosen, settings_.random_sets, derive_seed(settings_.seeds[0], 7, 0)))
        sets.emplace_back(std::move(one), SetKind::random);
    if (all.size() > 1 && result_.smallest != all) sets.emplace_back(all, SetKind::all);
    std::vector<std::vector<int>> drawn;  // single sites are there already
    for (const auto& [sites, kind] : sets)
      if (sites.size() > 1) drawn.push_back(sites);
    cells_.expect(0);
    if (!drawn.empty()) draw_sets("report", results_of(result_.reporting), drawn);
    for (const auto& set : sets) {
      const Variant found = variant(set.first);
      std::erase_if(result_.sets, [&](const SetResult& candidate) { return candidate.variant == found; });
      result_.sets.push_back({found, set.second, scores(result_.choosing, set.first), scores(result_.reporting, set.first)});
    }
  }

  const SiteTable& table_;
  const LocalizationSettings& settings_;
  const LocalizationObserver& observer_;
  Cells& cells_;
  LocalizationResult result_;
  std::map<std::string, Score> choosing_source_, choosing_target_;
};

}  // namespace

LocalizationResult run_localization(Cells& cells, const LocalizationSettings& settings, const SiteTable& table, const LocalizationObserver& observer) {
  if (const RunFolder* folder = cells.folder())
    claim_folder(folder->path() / kLocalizationFile, {{"schema", "glyphscope.localization/1"}, {"settings", settings.question()}},
                 "the run has been localized with other settings");
  return Localization(cells, settings, table, observer).run();
}

}  // namespace glyphscope
