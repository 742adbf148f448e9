#include <torch/types.h>

#include <algorithm>
#include <cstdio>

#include "core/heat_colour.h"
#include "core/version.h"
#include "experiments/certificate.h"
#include "experiments/score_table_text.h"
#include "io/canvas.h"
#include "io/files.h"
#include "io/image_file.h"
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
  write_png(folder / "card.png", draw_card(certificate, model), {{"schema", document["schema"]}, {"model", document["model"]}, {"sites", document["sites"]}});
}

torch::Tensor draw_card(const Certificate& certificate, const ModelInfo& model) {
  constexpr Colour kInk{30, 30, 36}, kSoft{110, 110, 120}, kPaper{255, 255, 255}, kRule{215, 215, 222}, kGood{38, 130, 76}, kBad{178, 60, 48};
  constexpr int kMargin = 20, kWidth = 760, kRow = 26, kAxis = 330, kAxisWidth = 290;
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
    if (name.size() > 40) name = name.substr(0, 38) + "..";
    lines.push_back({name, &set.scores, set.role == SetRole::sufficiency || set.role == SetRole::necessity || set.role == SetRole::complement});
  }
  const int top = 150, height = top + 34 + kRow * static_cast<int>(lines.size()) + 60;
  Canvas canvas(kWidth, height, kPaper);
  canvas.text("Localization card", kMargin, 34, 20, kInk);
  canvas.text(model.source + "  (" + model.family + ", " + model.hash.text().substr(0, 12) + ")", kMargin, 56, 12, kSoft);
  char share[32];
  std::snprintf(share, sizeof share, "%.2f %%", 100 * model.table.share(certificate.chosen));
  canvas.text(certificate.chosen.empty()
                  ? "No set of sites keeps B's text."
                  : (certificate.chosen.size() == 1 ? "Site " : "Sites ") + text_of(certificate.chosen) + ": " + share + " of the denoiser's parameters",
              kMargin, 84, 16, kInk);
  int left = kMargin;
  for (const auto& [name, holds] :
       {std::pair("sufficient", certificate.sufficient), {"necessary", certificate.necessary}, {"beats its controls", certificate.beats_controls}}) {
    const std::string text =
        (holds ? "" : "not shown to be ") + std::string(name == std::string("beats its controls") ? (holds ? name : "better than controls") : name);
    const int wide = canvas.text_width(text, 13) + 20;
    canvas.fill(left, 98, wide, 26, holds ? kGood : kBad);
    canvas.text(text, left + wide / 2, 116, 13, kPaper, Canvas::Align::centre);
    left += wide + 8;
  }
  canvas.text("reads as B (F1), mean and 95 % interval", kAxis, top + 8, 12, kSoft);
  for (int tick = 0; tick <= 4; ++tick) {
    const int x = kAxis + kAxisWidth * tick / 4;
    canvas.fill(x, top + 30, 1, kRow * static_cast<int>(lines.size()), kRule);
    char text[8];
    std::snprintf(text, sizeof text, "%.2f", tick / 4.0);
    canvas.text(text, x, top + 24, 11, kSoft, Canvas::Align::centre);
  }
  for (size_t i = 0; i < lines.size(); ++i) {
    const int y = top + 34 + kRow * static_cast<int>(i) + kRow / 2;
    const Score& score = lines[i].scores->at("target_f1");
    canvas.text(lines[i].name, kAxis - 14, y + 4, 12, lines[i].strong ? kInk : kSoft, Canvas::Align::right);
    const auto at = [&](double value) { return kAxis + static_cast<int>(std::clamp(value, 0.0, 1.0) * kAxisWidth); };
    const Colour colour = lines[i].strong ? kInk : kSoft;
    if (score.low) canvas.fill(at(*score.low), y - 1, std::max(1, at(*score.high) - at(*score.low)), 3, colour);
    canvas.fill(at(score.mean) - 4, y - 4, 9, 9, lines[i].strong ? heat_rgb(0.35) : colour);
    char text[64];
    if (score.low)
      std::snprintf(text, sizeof text, "%.2f [%.2f, %.2f]", score.mean, *score.low, *score.high);
    else
      std::snprintf(text, sizeof text, "%.2f", score.mean);
    canvas.text(text, kAxis + kAxisWidth + 14, y + 4, 11, colour);
  }
  const auto part = [](int words, int noises) { return std::to_string(words) + " words and " + std::to_string(noises) + (noises == 1 ? " noise" : " noises"); };
  const bool words = certificate.parts.words_apart, noises = certificate.parts.noises_apart;
  const std::string apart = words    ? (noises ? "others" : "other words, the same noises")
                            : noises ? "the same words, other noises"
                                     : "the same: there are too few";
  const std::string reported = "reported on " + part(certificate.reporting_words, certificate.reporting_noises);
  canvas.text(certificate.parts.choosing.empty()
                  ? "Sites of another model's card, " + reported + "."
                  : "Chosen on " + part(certificate.choosing_words, certificate.choosing_noises) + ", " + reported + " (" + apart + ").",
              kMargin, height - 20, 12, kSoft);
  return canvas.image();
}

}  // namespace glyphscope
