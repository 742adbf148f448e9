#include "localization/sweep.h"

#include <torch/types.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "core/random.h"
#include "io/weights.h"
#include "localization/sweep_cells.h"

namespace glyphscope {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

ordered_json SweepSettings::to_json() const {
  ordered_json list = ordered_json::array();
  std::string bytes;  // prompts as they are: bytes that are no UTF-8 do not survive JSON
  for (const auto& pair : pairs) {
    list.push_back({{"source", pair.source}, {"target", pair.target}, {"source_text", pair.source_text}, {"target_text", pair.target_text}});
    for (const auto* text : {&pair.source, &pair.target}) bytes += std::to_string(text->size()) + ":" + *text;
  }
  ordered_json out{{"steps", sampling.steps},
                   {"guidance", sampling.guidance},
                   {"scheduler", sampling.scheduler},
                   {"negative", sampling.negative ? ordered_json(*sampling.negative) : ordered_json()},
                   {"width", sampling.width},
                   {"height", sampling.height},
                   {"method", method_name(sampling.method)},
                   {"from_step", from_step},
                   {"clip_skip", sampling.clip_skip},
                   {"pooled", pooled_target ? "target" : "source"},
                   {"seeds", seeds},
                   {"localized_f1_share", localized_f1_share},
                   {"localized_ssim", localized_ssim},
                   {"kept_f1_share", kept_f1_share},
                   {"random_sets", random_sets},
                   {"pairs", list},
                   {"prompts_sha256", sha256_text(bytes)}};
  if (const auto enlarging = describe_enlarging(sampling); !enlarging.is_null()) out["enlarges"] = enlarging;
  return out;
}

SweepSettings SweepSettings::from_json(const nlohmann::json& json, const std::string& where) {
  SweepSettings out;
  try {
    for (const auto& one : json.at("pairs"))
      out.pairs.push_back({one.at("source").get<std::string>(), one.at("target").get<std::string>(), one.at("source_text").get<std::string>(),
                           one.at("target_text").get<std::string>()});
    json.at("seeds").get_to(out.seeds);
    json.at("steps").get_to(out.sampling.steps);
    json.at("guidance").get_to(out.sampling.guidance);
    json.at("scheduler").get_to(out.sampling.scheduler);
    if (json.at("negative").is_string()) out.sampling.negative = json["negative"].get<std::string>();
    json.at("width").get_to(out.sampling.width);
    json.at("height").get_to(out.sampling.height);
    out.sampling.method = parse_method(json.at("method").get<std::string>());
    json.at("from_step").get_to(out.from_step);
    json.at("clip_skip").get_to(out.sampling.clip_skip);
    out.pooled_target = json.at("pooled") == "target";
    json.at("localized_f1_share").get_to(out.localized_f1_share);
    json.at("localized_ssim").get_to(out.localized_ssim);
    json.at("kept_f1_share").get_to(out.kept_f1_share);
    json.at("random_sets").get_to(out.random_sets);
    if (json.contains("enlarges")) {
      out.sampling.noise_level = json["enlarges"].value("noise_level", out.sampling.noise_level);
      out.sampling.upscale_steps = json["enlarges"].value("steps", out.sampling.upscale_steps);
    }
  } catch (const nlohmann::json::exception& error) {
    reject("these are not the settings of a localization: " + json_message(error), where);
  }
  if (nlohmann::json(out.to_json()) != json)
    reject("the run has settings that cannot be repeated from the file alone", where, "Go on with it by the settings that began it");
  return out;
}

namespace {

ordered_json to_json(const Measurement& one, const PatchPlan& plan) {
  ordered_json scores;
  for (const auto& [name, value] : one.scores) scores[name] = std::isfinite(value) ? ordered_json(value) : ordered_json(nullptr);
  const std::vector<int> sites = sites_of(plan);
  ordered_json out{{"sites", sites}, {"read", one.read}, {"scores", scores}};
  const int from_step = plan.empty() ? 0 : plan.patches().front().from_step;
  if (plan != PatchPlan::at_sites(sites, 1, from_step)) out["plan"] = plan.to_json();
  return out;
}

Measurement measurement_from(const nlohmann::json& json) {
  Measurement out{json.at("read").get<std::string>(), {}};
  for (const auto& [name, value] : json.at("scores").items()) {
    const double score = value.is_null() ? std::numeric_limits<double>::infinity() : value.get<double>();
    // Of a score that is not known, as another version measured it, nothing is said.
    if (const ScoreInfo* info = find_score(name); info && (score < info->low || score > info->high))
      reject("the score " + name + " is " + std::to_string(score) + ", and can only be from " + std::to_string(info->low) + " to " +
             std::to_string(info->high));
    out.scores[name] = score;
  }
  return out;
}

}  // namespace

ordered_json PairResult::to_json() const {
  ordered_json list = ordered_json::array();
  for (const auto& one : patched) list.push_back(glyphscope::to_json(one, one.variant.plan));
  ordered_json out{{"pair", pair}, {"noise", noise}};
  for (const auto& [name, one] : {std::pair("source", &source), {"target", &target}})
    if (!one->scores.empty()) out[name] = glyphscope::to_json(*one, {});
  out["patched"] = list;
  return out;
}

const MeasuredVariant* PairResult::of(const Variant& variant) const {
  const auto found = std::find_if(patched.begin(), patched.end(), [&](const MeasuredVariant& one) { return one.variant == variant; });
  return found == patched.end() ? nullptr : &*found;
}

PairResult PairResult::from_json(const nlohmann::json& json, int from_step) {
  PairResult out{json.at("pair").get<int>(), json.at("noise").get<int>(), {}, {}, {}};
  for (const auto& [name, one] : {std::pair("source", &out.source), {"target", &out.target}})
    if (json.contains(name)) *one = measurement_from(json.at(name));
  for (const auto& one : json.at("patched")) {
    Variant variant = sites_variant(one.at("sites").get<std::vector<int>>(), from_step);
    if (one.contains("plan")) variant.plan = PatchPlan::from_json(one["plan"]);
    out.patched.push_back({measurement_from(one), std::move(variant)});
  }
  return out;
}

std::vector<Variant> single_sites(const SweepSettings& settings, const SiteTable& table) {
  std::vector<Variant> out;
  for (const auto& site : table.sites) out.push_back(sites_variant({site.index}, settings.from_step));
  return out;
}

Request pair_request(const SweepSettings& settings, size_t pair, size_t noise, const std::vector<Variant>& variants) {
  Request request = settings.sampling;
  request.prompts = {settings.pairs[pair].source, settings.pairs[pair].target};
  const std::uint64_t seed = settings.seeds[noise];
  request.rows = {{0, seed, {}}, {1, seed, {}}};
  for (const auto& variant : variants) request.rows.push_back({0, seed, variant.plan, settings.pooled_target ? 1 : 0});
  return request;
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

std::map<std::string, Score> mean_scores(const SweepSettings& settings, const std::vector<PairResult>& pairs,
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

RunningScores::RunningScores(const SweepSettings& settings) : clusters_(word_clusters(settings.pairs)), noises_(static_cast<int>(settings.seeds.size())) {
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

// A sweep's protocol: which sets of sites are tried on which pairs, and what is concluded.
class Sweep {
 public:
  Sweep(Pipeline& pipeline, TextReader& reader, const SweepSettings& settings, const fs::path& folder, const SweepObserver& observer, const CancelToken& cancel)
      : table_(pipeline.info().table), settings_(settings), cells_(pipeline, reader, settings, folder, observer, cancel) {}

  SweepResult run() {
    const Halves halves = halves_of(settings_.pairs);
    result_.choosing = halves.choosing;
    result_.reporting = halves.reporting;
    const std::vector<Cell> all = cells_.all();
    const auto sites = static_cast<std::int64_t>(table_.sites.size()), noises = static_cast<std::int64_t>(settings_.seeds.size());
    // All sites together are a control, whatever is found: with the others they take no turn of their own.
    std::vector<Variant> whole;
    if (sites > 1) whole.push_back(variant(all_sites()));
    // At least the random sets follow.
    const std::int64_t controls = static_cast<std::int64_t>(halves.reporting.size()) * noises * (settings_.random_sets + 1);
    cells_.expect("pairs, every site alone", static_cast<std::int64_t>(all.size()) * (2 + sites) + controls);
    for (const Cell& cell : all) result_.pairs.push_back(cells_.sites_alone(cell, is_one_of(halves.reporting, cell.pair) ? whole : std::vector<Variant>()));

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

  // Measures those of the sets that have not been. name: of the file.
  void add_sets(const std::string& name, PairResult& pair, const std::vector<std::vector<int>>& sets) {
    std::vector<Variant> missing;
    for (const auto& sites : sets)
      if (const Variant one = variant(sites); !pair.of(one)) missing.push_back(one);
    if (missing.empty()) return;
    auto measured = cells_.variants(name, {pair.pair, pair.noise}, missing);
    std::move(measured.begin(), measured.end(), std::back_inserter(pair.patched));
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
    for (size_t done = 0; done < chosen.size(); ++done) {
      cells_.expect("pairs, sets of sites", static_cast<std::int64_t>((chosen.size() - done) * candidates.size()));
      add_sets(name, *chosen[done], candidates);
      for (const auto& sites : candidates) sums[sites] += chosen[done]->of(variant(sites))->scores.at("target_f1");
      // Given up is what could not keep enough even if all that follows were perfect.
      const double best = static_cast<double>(chosen.size() - done - 1), least = wanted() * static_cast<double>(chosen.size()) - 1e-9;
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
    const std::vector<PairResult*> pairs = results_of(result_.reporting);
    for (size_t done = 0; done < pairs.size() && !drawn.empty(); ++done) {
      cells_.expect("pairs, what was found and controls", static_cast<std::int64_t>((pairs.size() - done) * drawn.size()));
      add_sets("report", *pairs[done], drawn);
    }
    for (const auto& set : sets) {
      const Variant found = variant(set.first);
      std::erase_if(result_.sets, [&](const SetResult& candidate) { return candidate.variant == found; });
      result_.sets.push_back({found, set.second, scores(result_.choosing, set.first), scores(result_.reporting, set.first)});
    }
  }

  const SiteTable& table_;
  const SweepSettings& settings_;
  SweepCells cells_;
  SweepResult result_;
  std::map<std::string, Score> choosing_source_, choosing_target_;
};

}  // namespace

SweepResult run_sweep(Pipeline& pipeline, TextReader& reader, const SweepSettings& settings, const fs::path& folder, const SweepObserver& observer,
                      const CancelToken& cancel) {
  return Sweep(pipeline, reader, settings, folder, observer, cancel).run();
}

}  // namespace glyphscope
