#include "experiments/certificate.h"

#include <torch/types.h>

#include <algorithm>
#include <set>
#include <utility>

#include "core/error.h"
#include "core/option.h"
#include "core/random.h"
#include "experiments/inference.h"
#include "experiments/smallest_set.h"
#include "io/files.h"
#include "io/json.h"

namespace glyphscope {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

constexpr const char* kCertificateFile = "asked-certificate.json";

int count_of(const std::vector<int>& list) { return static_cast<int>(std::set<int>(list.begin(), list.end()).size()); }

}  // namespace

ordered_json CertifySettings::question() const {
  ordered_json out{{"from_step", from_step},
                   {"false_discovery", false_discovery},
                   {"kept_f1_share", kept_f1_share},
                   {"verdict_share", verdict_share},
                   {"random_sets", random_sets},
                   {"players", players},
                   {"search", given ? "given" : to_string(search)}};
  if (given) out["given"] = {{"sites", given->sites}, {"from", given->from}};
  return out;
}

ordered_json CertifySettings::to_json() const {
  ordered_json out = RunSettings::to_json();
  add_keys(out, question());
  return out;
}

CertifySettings CertifySettings::from_json(const nlohmann::json& run, const nlohmann::json& question, const std::string& where) {
  CertifySettings out;
  static_cast<RunSettings&>(out) = RunSettings::from_json(run, where);
  return reading_json(where, [&] {
    question.at("from_step").get_to(out.from_step);
    question.at("false_discovery").get_to(out.false_discovery);
    question.at("kept_f1_share").get_to(out.kept_f1_share);
    question.at("verdict_share").get_to(out.verdict_share);
    question.at("random_sets").get_to(out.random_sets);
    question.at("players").get_to(out.players);
    if (question.contains("given"))
      out.given = {question["given"].at("sites").get<std::vector<int>>(), ordered_json(question["given"].at("from"))};
    else
      out.search = parse_set_search(question.at("search").get<std::string>());
    return out;
  });
}

CertifySettings CertifySettings::read(const fs::path& run) {
  const fs::path file = run / "settings.json", asked = run / kCertificateFile;
  const auto part = [](const fs::path& of) { return reading_json(of, [&] { return read_json(of).at("settings"); }); };
  return from_json(part(file), part(asked), asked.string());
}

Parts parts_of(const RunSettings& settings) {
  const Halves halves = halves_of(settings.pairs);
  Parts out;
  out.words_apart = halves.choosing != halves.reporting;
  const auto noises = static_cast<int>(settings.seeds.size());
  constexpr int kFewestNoises = 4;
  out.noises_apart = noises >= kFewestNoises;
  const int choosing_noises = out.noises_apart ? noises / kFewestNoises : noises;
  const auto has = [](const std::vector<int>& list, int one) { return std::find(list.begin(), list.end(), one) != list.end(); };
  for (const Cell& cell : settings.cells()) {
    const bool chooses = cell.noise < choosing_noises, reports = !out.noises_apart || !chooses;
    if (has(halves.choosing, cell.pair) && chooses) out.choosing.push_back(cell);
    if (has(halves.reporting, cell.pair) && reports) out.reporting.push_back(cell);
  }
  return out;
}

const char* set_role_name(SetRole role) {
  switch (role) {
    case SetRole::sufficiency:
      return "sufficiency";
    case SetRole::necessity:
      return "necessity";
    case SetRole::complement:
      return "complement";
    case SetRole::all_sites:
      return "all_sites";
    case SetRole::control:
      return "control";
    case SetRole::control_needed:
      return "control_necessity";
    case SetRole::single:
      return "single";
    case SetRole::subset:
      return "subset";
  }
  return "";
}

namespace {

class Certifying {
 public:
  Certifying(Cells& cells, const CertifySettings& settings, const SiteTable& table)
      : cells_(cells), settings_(settings), table_(table), clusters_(word_clusters(settings.pairs)) {
    for (const auto& site : table.sites) all_.push_back(site.index);
    out_.parts = parts_of(settings);
  }

  Certificate run() {
    if (settings_.given) out_.parts.choosing.clear();
    count_words_and_noises();
    if (settings_.given)
      take_given();
    else
      choose();
    report();
    conclude();
    return std::move(out_);
  }

 private:
  // Of a set of A's picture's sites, or of B's.
  Variant variant(const std::vector<int>& sites, int base) const {
    return {(base == 0 ? "" : "B,") + format_sites(sites), PatchPlan::at_sites(sites, 1 - base, settings_.from_step), base};
  }
  double target_f1(const Cell& cell, const Variant& one) const { return cells_.find(cell, one)->scores.at("target_f1"); }
  std::map<std::string, Score> scores(const std::vector<Cell>& over, const Variant& one) const { return scores_over(cells_, settings_, over, one); }

  void count_words_and_noises() {
    const auto count = [&](const std::vector<Cell>& cells, int& words, int& noises) {
      std::vector<int> of_words, of_noises;
      for (const Cell& cell : cells) {
        of_words.push_back(clusters_[static_cast<size_t>(cell.pair)]);
        of_noises.push_back(cell.noise);
      }
      words = count_of(of_words);
      noises = count_of(of_noises);
    };
    count(out_.parts.choosing, out_.choosing_words, out_.choosing_noises);
    count(out_.parts.reporting, out_.reporting_words, out_.reporting_noises);
  }

  void choose() {
    const std::vector<Cell>& over = out_.parts.choosing;
    // At least the controls follow.
    cells_.expect(static_cast<std::int64_t>(out_.parts.reporting.size()) * (settings_.random_sets + 7));
    if (settings_.search == SetSearch::exhaustive) {
      Question question{"certify-sites", "cells that choose, sites alone", {}, over};
      for (const int site : all_) question.variants.push_back(sites_variant({site}, settings_.from_step));
      cells_.answer({question});
      cells_.expect(0);
      judge_sites(over, all_);
      std::vector<TriedSet> tried;
      for (const auto& site : out_.sites) tried.push_back({sites_variant({site.site}, settings_.from_step), SetKind::site, site.scores});
      const Demand demand{scores(over, own_picture(1)).at("target_f1").mean, settings_.kept_f1_share, scores(over, own_picture(0)).at("target_f1").mean};
      out_.chosen = find_smallest_set(cells_, settings_, "certify", settings_.from_step, over, tried, demand).sites;
      choose_players([&](int site) { return out_.sites[static_cast<size_t>(site)].effect.mean; });
    } else {
      out_.search = search_adaptively(cells_, table_, settings_.from_step, over, settings_.kept_f1_share, towards_of(settings_.search));
      cells_.expect(0);
      out_.chosen = out_.search->sites;
      choose_players([&](int site) { return out_.search->gradients[static_cast<size_t>(site)]; });
    }
  }

  void take_given() {
    out_.chosen = settings_.given->sites;
    for (const int number : all_) out_.sites.push_back({.site = number, .tried = false});
    choose_players([](int) { return 0.0; });
  }

  // Which of these sites, patched alone on these cells, have an effect, and how they do. All sites are hypotheses, tried or not.
  void judge_sites(const std::vector<Cell>& over, const std::vector<int>& alone) {
    std::vector<double> p_values;
    for (const int number : all_) {
      SiteEvidence site;
      site.site = number;
      site.tried = std::find(alone.begin(), alone.end(), number) != alone.end();
      if (site.tried) {
        const Variant single = sites_variant({number}, settings_.from_step);
        std::vector<Observation> differences;
        for (const Cell& cell : over)
          differences.push_back({target_f1(cell, single) - target_f1(cell, own_picture(0)), clusters_[static_cast<size_t>(cell.pair)], cell.noise});
        site.effect = score_of(differences, {-1, 1});
        site.p = p_value_above_zero(differences);
        site.scores = scores(over, single);
      }
      p_values.push_back(site.p);
      out_.sites.push_back(std::move(site));
    }
    const std::vector<bool> rejected = benjamini_hochberg(p_values, settings_.false_discovery);
    for (size_t i = 0; i < rejected.size(); ++i) {
      out_.sites[i].discovered = rejected[i];
      if (rejected[i]) out_.discovered.push_back(out_.sites[i].site);
    }
  }

  // The chosen sites first, then those that are worth most.
  void choose_players(const std::function<double(int)>& worth) {
    const auto chosen = [&](int site) { return std::find(out_.chosen.begin(), out_.chosen.end(), site) != out_.chosen.end(); };
    std::vector<int> order = all_;
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return std::pair(chosen(a), worth(a)) > std::pair(chosen(b), worth(b)); });
    constexpr size_t kMostChosen = 4;
    const size_t wanted = settings_.players > 0 ? static_cast<size_t>(settings_.players) : std::min(kMostChosen, out_.chosen.size());
    order.resize(std::min(order.size(), wanted));
    std::sort(order.begin(), order.end());
    out_.players = order;
  }

  std::vector<int> subset(std::uint32_t set) const {
    std::vector<int> sites;
    for (size_t i = 0; i < out_.players.size(); ++i)
      if (set >> i & 1) sites.push_back(out_.players[i]);
    return sites;
  }

  void add(SetRole role, const std::vector<int>& sites, const Variant& one) {
    if (!one.plan.empty()) out_.sets.push_back({role, sites, one, {}});
  }

  // What was chosen, what is left without it, controls, and sets of the players: on the cells that had no part in choosing.
  void report() {
    const auto rest_of = [&](const std::vector<int>& sites) {
      std::vector<int> rest;
      for (const int site : all_)
        if (std::find(sites.begin(), sites.end(), site) == sites.end()) rest.push_back(site);
      return rest;
    };
    if (!out_.chosen.empty()) {
      add(SetRole::sufficiency, out_.chosen, variant(out_.chosen, 0));
      add(SetRole::necessity, out_.chosen, variant(out_.chosen, 1));
      add(SetRole::complement, out_.chosen, variant(rest_of(out_.chosen), 0));
      // One of the controls is asked in the other direction too: B's picture should keep its text without it.
      bool first = true;
      for (const auto& set : matched_random_sets(table_, out_.chosen, out_.chosen, settings_.random_sets, derive_seed(settings_.seeds[0], 7, 0))) {
        add(SetRole::control, set, variant(set, 0));
        if (std::exchange(first, false)) add(SetRole::control_needed, set, variant(set, 1));
      }
    }
    // Where no set is enough: whether patches can do it at all.
    if (out_.chosen.empty()) add(SetRole::all_sites, all_, variant(all_, 0));
    // Of an adaptive search these cells say which sites have an effect: those that choose have had a part in what was tried.
    if (out_.search)
      for (const int site : out_.chosen) add(SetRole::single, {site}, variant({site}, 0));
    for (const int site : out_.discovered) add(SetRole::single, {site}, variant({site}, 0));
    for (std::uint32_t set = 1; set < (std::uint32_t{1} << out_.players.size()); ++set) add(SetRole::subset, subset(set), variant(subset(set), 0));
    std::vector<Variant> variants;
    for (const auto& set : out_.sets)
      if (std::find(variants.begin(), variants.end(), set.variant) == variants.end()) variants.push_back(set.variant);
    cells_.answer({{"certify-sets", "cells that report", variants, out_.parts.reporting}});
    if (out_.search) {
      std::vector<int> alone = out_.chosen;
      alone.insert(alone.end(), out_.players.begin(), out_.players.end());
      judge_sites(out_.parts.reporting, alone);
      std::erase_if(out_.sets, [&](const SetEvidence& set) {
        return set.role == SetRole::single && std::find(out_.discovered.begin(), out_.discovered.end(), set.sites.front()) == out_.discovered.end();
      });
    }
    for (auto& set : out_.sets) set.scores = scores(out_.parts.reporting, set.variant);
    out_.source = scores(out_.parts.reporting, own_picture(0));
    out_.target = scores(out_.parts.reporting, own_picture(1));
  }

  void conclude() {
    const auto value = [&](const Cell& cell, std::uint32_t set) {
      return set == 0 ? target_f1(cell, own_picture(0)) : target_f1(cell, variant(subset(set), 0));
    };
    const auto over_cells = [&](const std::function<double(const Cell&)>& of) {
      std::vector<Observation> list;
      for (const Cell& cell : out_.parts.reporting) list.push_back({of(cell), clusters_[static_cast<size_t>(cell.pair)], cell.noise});
      return score_of(list);
    };
    const auto players = static_cast<int>(out_.players.size());
    for (int a = 0; a < players; ++a)
      for (int b = a + 1; b < players; ++b) {
        const std::uint32_t first = std::uint32_t{1} << a, second = std::uint32_t{1} << b;
        out_.interactions.push_back({out_.players[static_cast<size_t>(a)], out_.players[static_cast<size_t>(b)], over_cells([&](const Cell& cell) {
                                       return value(cell, first | second) - value(cell, first) - value(cell, second) + value(cell, 0);
                                     })});
      }
    std::vector<std::vector<Observation>> shares(static_cast<size_t>(players));
    for (const Cell& cell : out_.parts.reporting) {
      const std::vector<double> values = shapley_values(players, [&](std::uint32_t set) { return value(cell, set); });
      for (size_t i = 0; i < values.size(); ++i) shares[i].push_back({values[i], clusters_[static_cast<size_t>(cell.pair)], cell.noise});
    }
    for (const auto& list : shares) out_.shapley.push_back(score_of(list));

    // A few words have no interval: then nothing is sure.
    const Score* enough = nullptr;
    const Score* needed = nullptr;
    for (const auto& set : out_.sets) {
      if (set.role == SetRole::sufficiency) enough = &set.scores.at("target_f1");
      if (set.role == SetRole::necessity) needed = &set.scores.at("target_f1");
    }
    const double asked = settings_.verdict_share * out_.target.at("target_f1").mean;
    out_.sufficient = enough && enough->low && asked > 0 && *enough->low >= asked;
    out_.necessary = needed && needed->high && asked > 0 && *needed->high < asked;
    int controls = 0, beaten = 0;
    for (const auto& set : out_.sets) {
      if (set.role != SetRole::control) continue;
      ++controls;
      beaten += enough && enough->low && set.scores.at("target_f1").high.value_or(1) < *enough->low;
    }
    out_.beats_controls = controls > 0 && beaten == controls;
  }

  Cells& cells_;
  const CertifySettings& settings_;
  const SiteTable& table_;
  std::vector<int> clusters_, all_;
  Certificate out_;
};

}  // namespace

Certificate certify(Cells& cells, const CertifySettings& settings, const SiteTable& table) {
  if (settings.players < 0 || settings.players > 11)
    reject("the sets of " + std::to_string(settings.players) + " sites are too many", option(Option::players, std::to_string(settings.players)),
           "Choose up to 11");
  if (const RunFolder* folder = cells.folder(); folder && cells.draws())
    claim_folder(folder->path() / kCertificateFile, {{"schema", "glyphscope.certificate/1"}, {"settings", settings.question()}},
                 "the run has been certified with other settings");
  return Certifying(cells, settings, table).run();
}

}  // namespace glyphscope
