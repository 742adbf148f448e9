#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/version.h"
#include "experiments/localization.h"
#include "experiments/score_table_text.h"
#include "io/files.h"
#include "io/json.h"

namespace glyphscope {
using nlohmann::ordered_json;

namespace {

// None, where pairs that were kept by an older version lack it.
Score score_in(const std::map<std::string, Score>& scores, std::string_view key) {
  const auto found = scores.find(std::string(key));
  return found == scores.end() ? Score{} : found->second;
}

std::string percent(double share) {
  char text[16];
  std::snprintf(text, sizeof text, "%.2f %%", 100 * share);
  return text;
}

}  // namespace

ordered_json localization_document(const LocalizationResult& result, const LocalizationSettings& settings, const ModelInfo& model, const std::string& ocr,
                                   const RunCost& cost) {
  ordered_json sites = ordered_json::array(), sets = ordered_json::array(), pairs = ordered_json::array();
  for (const auto& set : result.sites) {
    ordered_json site = describe_site(model.table, set.variant.sites().front());
    site["scores"] = scores_json(set.scores);
    site["choosing_scores"] = scores_json(set.choosing);
    sites.push_back(site);
  }
  for (const auto& set : result.sets) {
    const std::vector<int> at = set.variant.sites();
    ordered_json one{{"sites", at}, {"kind", set_kind_name(set.kind)}, {"share", model.table.share(at)}};
    if (!set.scores.empty()) one["scores"] = scores_json(set.scores);
    if (!set.choosing.empty()) one["choosing_scores"] = scores_json(set.choosing);
    sets.push_back(std::move(one));
  }
  for (const auto& pair : result.pairs) pairs.push_back(pair.to_json());
  return {{"schema", "glyphscope.run/3"},
          {"versions", {{"glyphscope", version()}, {"libtorch", torch_version()}, {"ocr", ocr}}},
          {"model", describe_model(model)},
          {"settings", settings.to_json()},
          {"seconds", cost.seconds_json()},
          {"peak_memory_bytes", cost.memory_json()},
          {"protocol",
           {{"choosing_pairs", result.choosing},
            {"reporting_pairs", result.reporting},
            {"halved", result.choosing != result.reporting},
            {"resampled", {{"word_clusters", result.word_clusters}, {"noises", settings.seeds.size()}}}}},
          {"source", scores_json(result.source)},
          {"target", scores_json(result.target)},
          {"localized", result.localized},
          {"localized_share", model.table.share(result.localized)},
          {"smallest_set_found", result.smallest},
          {"smallest_set_found_share", model.table.share(result.smallest)},
          {"sites", sites},
          {"sets", sets},
          {"pairs", pairs}};
}

void write_localization(const LocalizationResult& result, const LocalizationSettings& settings, const ModelInfo& model, const std::string& ocr,
                        const RunCost& cost, const std::filesystem::path& folder) {
  const ordered_json document = localization_document(result, settings, model, ocr, cost);
  write_json(folder / "run.json", document);

  std::string csv = "index,path,kohya,block,heads,kv_parameters,share,localized,choosing_target_f1,choosing_source_f1";
  csv += csv_score_names(result.source);
  csv += ",psnr_infinite";
  csv += "\n";
  for (const auto& set : result.sites) {
    const Site& site = model.table.sites[static_cast<size_t>(set.variant.sites().front())];
    csv += std::to_string(site.index) + "," + site.path + "," + site.kohya + "," + site.block + "," + std::to_string(site.heads) + "," +
           std::to_string(site.kv_parameters) + "," + csv_number(model.table.share({site.index})) + "," +
           (std::find(result.localized.begin(), result.localized.end(), site.index) != result.localized.end() ? "1" : "0") + "," +
           csv_number(set.choosing.at("target_f1").mean) + "," + csv_number(set.choosing.at("source_f1").mean);
    csv += csv_scores(set.scores, result.source);
    csv += "," + std::to_string(score_in(set.scores, "psnr").infinite) + "\n";
  }
  write_text(folder / "sites.csv", csv);

  write_figure(heatmap_figure(result, model), {}, folder / "heatmap.png", without_key(document, "pairs"));
}

Figure heatmap_figure(const LocalizationResult& result, const ModelInfo& model) {
  HeatPanel panel;
  panel.column_axis = "site";
  const auto value_of = [](const std::map<std::string, Score>& scores, const ScoreInfo& line) { return plot_value(score_in(scores, line.key)); };
  for (const ScoreInfo* line : charted_scores()) {  // the others are in sites.csv
    panel.rows.emplace_back(line->title);
    panel.values.emplace_back();
    for (const auto& site : result.sites) panel.values.back().push_back(value_of(site.scores, *line));
    panel.values.back().push_back(value_of(result.source, *line));
    panel.values.back().push_back(value_of(result.target, *line));
  }
  for (size_t site = 0; site < result.sites.size(); ++site) {
    panel.columns.push_back(std::to_string(site));
    const std::string& block = model.table.sites[site].block;
    if (panel.groups.empty() || panel.groups.back().second != block) panel.groups.emplace_back(static_cast<int>(site), block);
  }
  panel.columns.insert(panel.columns.end(), {"A", "B"});
  panel.columns_apart = 2;
  panel.apart = "unpatched";
  panel.marked = {result.localized.begin(), result.localized.end()};
  const std::string found = result.localized.empty()
                                ? "No single site is localized."
                                : "Localized: " + format_sites(result.localized) + " (" + percent(model.table.share(result.localized)) + " of the denoiser)";
  const std::string smallest = result.smallest.empty() ? "" : ". Smallest set found that keeps B's text: " + format_sites(result.smallest);
  return {.title = "Which site writes the text?",
          .subtitle = model.source + ": prompt A's picture, with one site patched to see prompt B. " + std::to_string(result.reporting.size()) +
                      (result.choosing == result.reporting ? " pairs, which chose too" : " pairs that had no part in choosing"),
          .parts = {{"", std::move(panel)}},
          .note = found + smallest};
}

}  // namespace glyphscope
