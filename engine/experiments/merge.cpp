#include "experiments/merge.h"

#include <chrono>

#include "experiments/localization.h"
#include "experiments/map.h"
#include "experiments/run_folder.h"
#include "io/files.h"

namespace glyphscope {
namespace fs = std::filesystem;

MergedRun merge(const std::vector<fs::path>& runs, const fs::path& out) {
  const auto start = std::chrono::steady_clock::now();
  const auto cost = [&]() -> RunCost { return {std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), 0}; };
  merge_runs(runs, out);
  const fs::path file = out / "settings.json";
  const auto settings = reading_json(file, [&] { return nlohmann::ordered_json::parse(read_text(file)); });
  RunFolder run(out, settings);
  const RunDescription described = read_description(out);
  const SiteTable& table = described.model.table;
  MergedRun result;
  result.missing = missing_cells(run);
  const LocalizationObserver observer;
  for (const auto& question : run.questions()) {
    if (question.map.is_null()) continue;
    const RunSettings of_run = RunSettings::from_json(nlohmann::json(settings.at("settings")), file.string());
    Cells cells(of_run, run, observer);
    try {
      const Axes axes = Axes::parse(question.map.at("by").get<std::string>());
      const Scope scope =
          reading_json(out / "questions" / (question.name + ".json"), [&] { return Scope::from_json(nlohmann::json(question.map.at("scope"))); });
      const EffectMap map = run_map(cells, of_run, table, axes, scope);
      write_map(map, of_run, described.model, described.ocr, cost(), out);
      for (const char* ending : {".json", ".csv", ".png"}) result.written.push_back("map-" + map.name + ending);
    } catch (const RunIncomplete&) {  // its cells are among those that are missing
    }
  }
  if (!fs::exists(out / "localization.json")) return result;
  const LocalizationSettings localization = LocalizationSettings::read(out);
  Cells cells(localization, run, observer);
  try {
    write_localization(run_localization(cells, localization, table, observer), localization, described.model, described.ocr, cost(), out);
    for (const char* name : {"run.json", "sites.csv", "heatmap.png"}) result.written.emplace_back(name);
  } catch (const RunIncomplete& incomplete) {
    if (result.missing.empty()) result.next = incomplete.question;
  }
  return result;
}

}  // namespace glyphscope
