#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "experiments/axes.h"
#include "experiments/cells.h"
#include "experiments/localization.h"

namespace glyphscope {

/// What a grid of variants scores, over all pairs and noises of a run. Nothing is chosen by it, so nothing is halved.
struct EffectMap {
  std::string name;  ///< Of its files: "site-step", "head-necessity-sites-5".
  Grid grid;
  Scope scope;
  std::map<std::string, Score> source, target;  ///< A's and B's own pictures.
  /// The same of the pairs of one attribute, by its name, where that is an axis.
  std::map<std::string, std::map<std::string, Score>> attribute_source, attribute_target;
  std::vector<std::map<std::string, Score>> scores;  ///< Of each of grid.cells; empty where there is none.
};

/// The name of a question: what it asks, in a way that a file's name may be. Other questions have other names.
std::string map_name(const Axes& axes, const Scope& scope);

/// Draws the grid on every cell of the run. Throws a Failure; RunIncomplete as Cells has it.
EffectMap run_map(Cells& cells, const RunSettings& settings, const SiteTable& table, const Axes& axes, const Scope& scope);

nlohmann::ordered_json map_document(const EffectMap& map, const RunSettings& settings, const ModelInfo& model, const std::string& ocr, const RunCost& cost);

/// Writes map-NAME.json, map-NAME.csv (a line each cell of the grid) and map-NAME.png.
void write_map(const EffectMap& map, const RunSettings& settings, const ModelInfo& model, const std::string& ocr, const RunCost& cost,
               const std::filesystem::path& folder);

/// Rows x columns as a figure: a panel for each of the scores that say most.
Figure map_figure(const EffectMap& map, const ModelInfo& model, int pairs);

}  // namespace glyphscope
