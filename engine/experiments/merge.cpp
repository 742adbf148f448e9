#include "experiments/merge.h"

#include <functional>

#include "experiments/certificate.h"
#include "experiments/localization.h"
#include "experiments/map.h"
#include "experiments/run_folder.h"
#include "io/files.h"

namespace glyphscope {
namespace fs = std::filesystem;

MergedRun merge(const std::vector<fs::path>& runs, const fs::path& out) {
  merge_runs(runs, out);
  const OutputFolder held(out);
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
      write_map(map, of_run, described.model, described.ocr, {}, out);
      for (const char* ending : {".json", ".csv", ".png"}) result.written.push_back("map-" + map.name + ending);
    } catch (const RunIncomplete&) {  // its cells are among those that are missing
    }
  }
  // What follows of a protocol's rounds is asked once all cells of those before are there.
  const auto conclude = [&](const char* file, const std::vector<const char*>& written, const std::function<void()>& make) {
    if (!fs::exists(out / file)) return;
    try {
      make();
      result.written.insert(result.written.end(), written.begin(), written.end());
    } catch (const RunIncomplete& incomplete) {
      if (result.missing.empty()) result.next = incomplete.question;
    }
  };
  conclude("asked-localization.json", {"run.json", "sites.csv", "heatmap.png"}, [&] {
    const LocalizationSettings localization = LocalizationSettings::read(out);
    Cells cells(localization, run, observer);
    write_localization(run_localization(cells, localization, table, observer), localization, described.model, described.ocr, {}, out);
  });
  conclude("asked-certificate.json", {"card.json", "card.png"}, [&] {
    const CertifySettings certificate = CertifySettings::read(out);
    Cells cells(certificate, run, observer);
    write_card(certify(cells, certificate, table), certificate, described.model, described.ocr, {}, out);
  });
  return result;
}

}  // namespace glyphscope
