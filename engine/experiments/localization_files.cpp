#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/heat_colour.h"
#include "core/version.h"
#include "experiments/localization.h"
#include "experiments/score_table_text.h"
#include "io/canvas.h"
#include "io/files.h"
#include "io/image_file.h"
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

  write_png(folder / "heatmap.png", draw_heatmap(result, model), without_key(document, "pairs"));
}

torch::Tensor draw_heatmap(const LocalizationResult& result, const ModelInfo& model) {
  const std::vector<const ScoreInfo*> lines = charted_scores();  // the others are in sites.csv
  constexpr int kCell = 46, kRow = 40, kLeft = 190, kTop = 64, kRight = 28, kBottom = 84;
  constexpr Colour kInk{30, 30, 36}, kSoft{110, 110, 120}, kPaper{255, 255, 255};
  const int columns = static_cast<int>(result.sites.size()), rows = static_cast<int>(lines.size());
  const int width = kLeft + kCell * (columns + 2) + 20 + kRight, height = kTop + kRow * rows + kBottom;
  Canvas canvas(width, height, kPaper);
  canvas.text("Which site writes the text?", 16, 26, 16, kInk);
  canvas.text(model.source + ": prompt A's picture, with one site patched to see prompt B. " + std::to_string(result.reporting.size()) +
                  (result.choosing == result.reporting ? " pairs, which chose too" : " pairs that had no part in choosing"),
              16, 46, 12, kSoft);

  auto cell = [&](int left, int top, double value, bool strong) {
    canvas.fill(left + 1, top + 1, kCell - 2, kRow - 2, heat_rgb(value));
    char text[16];
    std::snprintf(text, sizeof text, "%.2f", value);
    const Colour back = heat_rgb(value);
    canvas.text(text, left + kCell / 2, top + kRow / 2 + 5, strong ? 13 : 12, back[0] + back[1] + back[2] > 380 ? kInk : kPaper, Canvas::Align::centre);
  };
  for (int row = 0; row < rows; ++row) {
    const ScoreInfo& line = *lines[static_cast<size_t>(row)];
    const auto mean = [&](const std::map<std::string, Score>& scores) { return score_in(scores, line.key).mean; };
    const int top = kTop + kRow * row;
    canvas.text(line.title, kLeft - 12, top + kRow / 2 + 5, 12, kInk, Canvas::Align::right);
    for (int column = 0; column < columns; ++column) cell(kLeft + kCell * column, top, mean(result.sites[static_cast<size_t>(column)].scores), false);
    const int own = kLeft + kCell * columns + 20;
    cell(own, top, mean(result.source), true);
    cell(own + kCell, top, mean(result.target), true);
  }
  const int bottom = kTop + kRow * rows;
  canvas.text("site", kLeft - 12, bottom + 20, 12, kSoft, Canvas::Align::right);
  std::string block;
  for (int column = 0; column < columns; ++column) {
    const Site& site = model.table.sites[static_cast<size_t>(column)];
    const bool localized = std::find(result.localized.begin(), result.localized.end(), column) != result.localized.end();
    const int left = kLeft + kCell * column;
    if (localized) canvas.fill(left + 4, bottom + 5, kCell - 8, 21, {253, 231, 37});
    canvas.text(std::to_string(column), left + kCell / 2, bottom + 20, 13, kInk, Canvas::Align::centre);
    if (site.block != block) {
      canvas.fill(left + 1, bottom + 30, 1, 18, kSoft);
      canvas.text(site.block, left + 6, bottom + 44, 11, kSoft);
      block = site.block;
    }
  }
  const int own = kLeft + kCell * columns + 20;
  canvas.text("A", own + kCell / 2, bottom + 20, 13, kInk, Canvas::Align::centre);
  canvas.text("B", own + kCell + kCell / 2, bottom + 20, 13, kInk, Canvas::Align::centre);
  canvas.text("unpatched", own + kCell, bottom + 44, 11, kSoft, Canvas::Align::centre);
  const std::string found = result.localized.empty()
                                ? "No single site is localized."
                                : "Localized: " + format_sites(result.localized) + " (" + percent(model.table.share(result.localized)) + " of the denoiser)";
  const std::string smallest = result.smallest.empty() ? "" : ". Smallest set found that keeps B's text: " + format_sites(result.smallest);
  canvas.text(found + smallest, 16, bottom + 70, 12, kInk);
  return canvas.image();
}

}  // namespace glyphscope
