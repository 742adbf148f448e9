#include <torch/types.h>

#include <algorithm>
#include <cstdio>

#include "core/version.h"
#include "experiments/certificate.h"
#include "experiments/score_table_text.h"
#include "io/files.h"
#include "metrics/scores.h"

namespace glyphscope {
using nlohmann::ordered_json;

namespace {

ordered_json cells_json(const std::vector<Cell>& cells) {
  ordered_json out = ordered_json::array();
  for (const Cell& cell : cells) out.push_back({cell.pair, cell.noise});
  return out;
}

}  // namespace

ordered_json card_document(const Certificate& certificate, const CertifySettings& settings, const ModelInfo& model, const std::string& ocr,
                           const RunCost& cost) {
  ordered_json chosen = ordered_json::array(), sites = ordered_json::array(), sets = ordered_json::array(), interactions = ordered_json::array(),
               shapley = ordered_json::array();
  for (const int site : certificate.chosen) chosen.push_back(describe_site(model.table, site));
  for (const auto& one : certificate.sites)
    sites.push_back({{"site", one.site}, {"effect", one.effect.to_json()}, {"p", one.p}, {"discovered", one.discovered}, {"scores", scores_json(one.scores)}});
  for (const auto& one : certificate.sets)
    sets.push_back({{"role", set_role_name(one.role)},
                    {"sites", one.sites},
                    {"share", model.table.share(one.sites)},
                    {"base", one.variant.base == 0 ? "A" : "B"},
                    {"patched_sites", one.variant.sites()},
                    {"scores", scores_json(one.scores)}});
  for (const auto& one : certificate.interactions) interactions.push_back({{"sites", {one.first, one.second}}, {"target_f1", one.value.to_json()}});
  for (size_t i = 0; i < certificate.shapley.size(); ++i)
    shapley.push_back({{"site", certificate.players[i]}, {"target_f1", certificate.shapley[i].to_json()}});
  ordered_json out{
      {"schema", "glyphscope.card/1"},
      {"versions", {{"glyphscope", version()}, {"libtorch", torch_version()}, {"ocr", ocr}}},
      {"model", describe_model(model)},
      {"sites", chosen},
      {"share", model.table.share(certificate.chosen)},
      {"verdict", {{"sufficient", certificate.sufficient}, {"necessary", certificate.necessary}, {"beats_controls", certificate.beats_controls}}},
      {"protocol",
       {{"words_apart", certificate.parts.words_apart},
        {"noises_apart", certificate.parts.noises_apart},
        {"choosing", {{"words", certificate.choosing_words}, {"noises", certificate.choosing_noises}, {"cells", cells_json(certificate.parts.choosing)}}},
        {"reporting", {{"words", certificate.reporting_words}, {"noises", certificate.reporting_noises}, {"cells", cells_json(certificate.parts.reporting)}}},
        {"false_discovery", settings.false_discovery}}},
      {"settings", settings.to_json()},
      {"seconds", cost.seconds_json()},
      {"peak_memory_bytes", cost.memory_json()},
      {"source", scores_json(certificate.source)},
      {"target", scores_json(certificate.target)},
      {"discovered", certificate.discovered},
      {"evidence", {{"sites", sites}, {"sets", sets}, {"interactions", interactions}, {"shapley", shapley}}}};
  if (const auto& search = certificate.search) {
    // What it took, beside what trying every site would have; and what was not tried.
    const auto cells = static_cast<std::int64_t>(certificate.parts.choosing.size()), count = static_cast<std::int64_t>(certificate.sites.size());
    out["search"] = {{"sites", search->sites},
                     {"pictures", search->pictures},
                     {"gradient_rows", search->gradient_rows},
                     {"rows", search->pictures * search->picture_rows + search->gradient_rows},
                     {"rows_of_every_site_alone", cells * (2 + count) * search->picture_rows},
                     {"gradients", search->gradients},
                     {"rank_correlation", search->rank_correlation},
                     {"tried_alone", search->tested_alone},
                     {"tried_alone_on_all_cells", search->alone_on_all},
                     {"groups_that_are_not_enough", search->not_enough}};
  }
  if (settings.given) out["transferred_from"] = settings.given->from;
  return out;
}

void write_card(const Certificate& certificate, const CertifySettings& settings, const ModelInfo& model, const std::string& ocr, const RunCost& cost,
                const std::filesystem::path& folder) {
  const ordered_json document = card_document(certificate, settings, model, ocr, cost);
  write_json(folder / "card.json", document);
  write_figure(card_figure(certificate, model), {}, folder / "card.png",
               {{"schema", document["schema"]}, {"model", document["model"]}, {"sites", document["sites"]}});
}

Figure card_figure(const Certificate& certificate, const ModelInfo& model) {
  struct Line {
    std::string name;
    const std::map<std::string, Score>* scores;
    bool strong;
  };
  std::vector<Line> lines{{"A's own picture", &certificate.source, false}, {"B's own picture", &certificate.target, false}};
  const auto text_of = [](const std::vector<int>& sites) { return format_sites(sites); };
  for (const auto& set : certificate.sets) {
    std::string name;
    switch (set.role) {
      case SetRole::sufficiency:
        name = "A, " + text_of(set.sites) + " see B";
        break;
      case SetRole::necessity:
        name = "B, " + text_of(set.sites) + " see A";
        break;
      case SetRole::complement:
        name = "A, all but " + text_of(set.sites) + " see B";
        break;
      case SetRole::all_sites:
        name = "A, all sites see B";
        break;
      case SetRole::control:
        name = "control: A, " + text_of(set.sites) + " see B";
        break;
      case SetRole::control_needed:
        name = "control: B, " + text_of(set.sites) + " see A";
        break;
      case SetRole::single:
        if (set.sites == certificate.chosen) continue;
        name = "A, " + text_of(set.sites) + " sees B (discovered)";
        break;
      default:
        continue;
    }
    lines.push_back({name, &set.scores, set.role == SetRole::sufficiency || set.role == SetRole::necessity || set.role == SetRole::complement});
  }
  char share[32];
  std::snprintf(share, sizeof share, "%.2f %%", 100 * model.table.share(certificate.chosen));
  IntervalPanel panel;
  panel.numbers = true;
  IntervalPanel::Column column{"reads as B (F1), mean and 95 % interval", 0, 1, {}, {}};
  for (const auto& line : lines) {
    panel.rows.push_back({line.name, line.strong});
    column.values.push_back(plot_value(line.scores->at("target_f1")));
  }
  panel.columns.push_back(std::move(column));
  const auto part = [](int words, int noises) { return std::to_string(words) + " words and " + std::to_string(noises) + (noises == 1 ? " noise" : " noises"); };
  const bool words = certificate.parts.words_apart, noises = certificate.parts.noises_apart;
  const std::string apart = words    ? (noises ? "others" : "other words, the same noises")
                            : noises ? "the same words, other noises"
                                     : "the same: there are too few";
  const std::string reported = "reported on " + part(certificate.reporting_words, certificate.reporting_noises);
  Figure out{.title = "Localization card: " + (certificate.chosen.empty() ? std::string("no set of sites keeps B's text")
                                                                          : (certificate.chosen.size() == 1 ? "site " : "sites ") +
                                                                                text_of(certificate.chosen) + ", " + share + " of the denoiser's parameters"),
             .subtitle = model.source + "  (" + model.family + ", " + model.hash.text().substr(0, 12) + ")",
             .parts = {{"", std::move(panel)}},
             .note = certificate.parts.choosing.empty()
                         ? "Sites of another model's card, " + reported + "."
                         : "Chosen on " + part(certificate.choosing_words, certificate.choosing_noises) + ", " + reported + " (" + apart + ")."};
  for (const auto& [holds, shown, not_shown] : {std::tuple(certificate.sufficient, "sufficient", "not shown to be sufficient"),
                                                {certificate.necessary, "necessary", "not shown to be necessary"},
                                                {certificate.beats_controls, "beats its controls", "not shown to be better than controls"}})
    out.badges.push_back({holds ? shown : not_shown, holds});
  return out;
}

}  // namespace glyphscope
