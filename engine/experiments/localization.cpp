#include "experiments/localization.h"

#include <torch/types.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "core/error.h"
#include "core/random.h"
#include "experiments/smallest_set.h"
#include "io/files.h"
#include "io/json.h"

namespace glyphscope {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

constexpr const char* kLocalizationFile = "asked-localization.json";

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
  add_keys(out, question());
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
  const auto measured = [](const Measurement& one) {
    const ordered_json all = MeasuredVariant{one, {}, {}}.to_json();
    return ordered_json{{"read", all["read"]}, {"scores", all["scores"]}};
  };
  ordered_json list = ordered_json::array();
  for (const auto& one : patched) {  // all of sites alone, from the settings' step on
    ordered_json entry{{"sites", one.variant.sites()}};
    add_keys(entry, measured(one));
    list.push_back(std::move(entry));
  }
  ordered_json out{{"pair", pair}, {"noise", noise}};
  out["source"] = measured(source);
  out["target"] = measured(target);
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

std::optional<PairResult> pair_so_far(Cells& cells, const LocalizationSettings& settings, const SiteTable& table, const Cell& cell) {
  const MeasuredVariant *source = cells.find(cell, own_picture(0)), *target = cells.find(cell, own_picture(1));
  if (!source || !target) return std::nullopt;
  PairResult out{cell.pair, cell.noise, *source, *target, {}};
  for (const Variant& one : single_sites(table, settings.from_step)) {
    const MeasuredVariant* found = cells.find(cell, one);
    if (!found) return std::nullopt;
    out.patched.push_back(*found);
  }
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

// What a mean of this score can be.
Range range_of(const std::string& score) {
  const ScoreInfo* info = find_score(score);
  return info ? Range{info->low, info->high} : Range{};
}

// The paper's code computes F1 of the mean precision and the mean recall.
double f1_of_means(const std::vector<double>& means) { return means[0] + means[1] > 0 ? 2 * means[0] * means[1] / (means[0] + means[1]) : 0; }

}  // namespace

RunningScores::RunningScores(const RunSettings& settings) : clusters_(word_clusters(settings.pairs)) {}

void RunningScores::add(const Scores& scores, int pair, int noise) {
  for (const auto& [name, value] : scores)
    running_.try_emplace(name, RunningScore(range_of(name))).first->second.add({value, clusters_[static_cast<size_t>(pair)], noise});
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
      : table_(table), settings_(settings), observer_(observer), cells_(cells), singles_(single_sites(table, settings.from_step)) {
    for (const auto& site : table.sites) all_.push_back(site.index);
  }

  LocalizationResult run() {
    const Halves halves = halves_of(settings_.pairs);
    result_.choosing = halves.choosing;
    result_.reporting = halves.reporting;
    for (const Cell& cell : settings_.cells()) {
      if (is_one_of(halves.choosing, cell.pair)) choosing_.push_back(cell);
      if (is_one_of(halves.reporting, cell.pair)) reporting_.push_back(cell);
    }
    const std::vector<int> clusters = word_clusters(settings_.pairs);
    std::set<int> words;
    for (const int pair : halves.reporting) words.insert(clusters[static_cast<size_t>(pair)]);
    result_.word_clusters = static_cast<int>(words.size());

    draw_sites();
    result_.source = scores(reporting_, own_picture(0));
    result_.target = scores(reporting_, own_picture(1));
    demand_ = {scores(choosing_, own_picture(1)).at("target_f1").mean, settings_.kept_f1_share, scores(choosing_, own_picture(0)).at("target_f1").mean};
    std::vector<TriedSet> tried;
    for (const auto& site : singles_) {
      tried.push_back({site, SetKind::site, scores(choosing_, site)});
      result_.sites.push_back({site, SetKind::site, tried.back().choosing, scores(reporting_, site)});
    }
    choose_localized();
    SmallestSet smallest = find_smallest_set(cells_, settings_, "localize", settings_.from_step, choosing_, tried, demand_);
    result_.smallest = smallest.sites;
    for (auto& set : smallest.tried) result_.sets.push_back({set.variant, set.kind, set.choosing, {}});
    drawn_.insert(drawn_.end(), smallest.drawn.begin(), smallest.drawn.end());
    report();
    for (const Cell& cell : settings_.cells()) result_.pairs.push_back(result_of(cell));
    return std::move(result_);
  }

 private:
  std::map<std::string, Score> scores(const std::vector<Cell>& over, const Variant& one) const { return scores_over(cells_, settings_, over, one); }

  // Every site alone on every cell. All sites together are a control, whatever is found: with the others they take no turn of their own.
  void draw_sites() {
    std::vector<Variant> with_all = singles_;
    if (all_.size() > 1) with_all.push_back(sites_variant(all_, settings_.from_step));
    const std::string title = "pairs, every site alone";
    Question choosing{"sites-choosing", title, singles_, {}};
    const Question reporting{"sites-reporting", title, with_all, reporting_};
    if (result_.choosing != result_.reporting) choosing.cells = choosing_;
    drawn_ = {{choosing.cells, choosing.variants}, {reporting.cells, reporting.variants}};
    // At least the random sets follow.
    cells_.expect(static_cast<std::int64_t>(reporting_.size()) * (settings_.random_sets + 1));
    cells_.answer(choosing.cells.empty() ? std::vector<Question>{reporting} : std::vector<Question>{choosing, reporting},
                  [&](const Cell& cell, const torch::Tensor& images) { observer_.pair_done(result_of(cell), images); });
  }

  // What was measured of a cell so far, in the order in which it was asked.
  PairResult result_of(const Cell& cell) const {
    PairResult out{cell.pair, cell.noise, *cells_.find(cell, own_picture(0)), *cells_.find(cell, own_picture(1)), {}};
    for (const auto& [cells, variants] : drawn_) {
      if (std::find(cells.begin(), cells.end(), cell) == cells.end()) continue;
      for (const auto& one : variants)
        if (const auto* measured = cells_.find(cell, one); measured && !out.of(one)) out.patched.push_back(*measured);
    }
    return out;
  }

  void choose_localized() {
    for (const auto& site : result_.sites) {
      const Score& f1 = site.choosing.at("target_f1");
      if (f1.low.value_or(f1.mean) >= settings_.localized_f1_share * demand_.own && site.choosing.at("ssim_outside_text").mean >= settings_.localized_ssim &&
          demand_.own > 0 && moved(site.choosing) > 0 && f1.mean > demand_.chance)
        result_.localized.push_back(site.variant.sites().front());
    }
  }

  // What was chosen, on the pairs that had no part in it, with controls of its size that hold no chosen site.
  void report() {
    std::vector<std::pair<std::vector<int>, SetKind>> sets;
    if (result_.smallest.size() > 1) sets.emplace_back(result_.smallest, SetKind::smallest);
    std::vector<int> chosen = result_.localized;
    chosen.insert(chosen.end(), result_.smallest.begin(), result_.smallest.end());
    const std::vector<int>& like = result_.smallest.empty() ? result_.localized : result_.smallest;
    if (!like.empty())
      for (auto& one : matched_random_sets(table_, like, chosen, settings_.random_sets, derive_seed(settings_.seeds[0], 7, 0)))
        sets.emplace_back(std::move(one), SetKind::random);
    if (all_.size() > 1 && result_.smallest != all_) sets.emplace_back(all_, SetKind::all);
    Question question{"localize-report", "pairs, what was found and controls", {}, reporting_};
    for (const auto& [sites, kind] : sets)
      if (sites.size() > 1) question.variants.push_back(sites_variant(sites, settings_.from_step));  // single sites are there already
    cells_.expect(0);
    if (!question.variants.empty()) cells_.answer({question});
    drawn_.emplace_back(question.cells, question.variants);
    for (const auto& [sites, kind] : sets) {
      const Variant found = sites_variant(sites, settings_.from_step);
      std::erase_if(result_.sets, [&](const SetResult& candidate) { return candidate.variant == found; });
      result_.sets.push_back({found, kind, scores(choosing_, found), scores(reporting_, found)});
    }
  }

  const SiteTable& table_;
  const LocalizationSettings& settings_;
  const LocalizationObserver& observer_;
  Cells& cells_;
  std::vector<Variant> singles_;
  std::vector<int> all_;
  std::vector<Cell> choosing_, reporting_;
  std::vector<std::pair<std::vector<Cell>, std::vector<Variant>>> drawn_;
  Demand demand_;
  LocalizationResult result_;
};

}  // namespace

LocalizationResult run_localization(Cells& cells, const LocalizationSettings& settings, const SiteTable& table, const LocalizationObserver& observer) {
  if (const RunFolder* folder = cells.folder(); folder && cells.draws())
    claim_folder(folder->path() / kLocalizationFile, {{"schema", "glyphscope.localization/1"}, {"settings", settings.question()}},
                 "the run has been localized with other settings");
  return Localization(cells, settings, table, observer).run();
}

}  // namespace glyphscope
