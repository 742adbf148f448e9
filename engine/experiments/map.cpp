#include "experiments/map.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/version.h"
#include "experiments/score_table_text.h"
#include "experiments/smallest_set.h"
#include "io/files.h"
#include "io/json.h"
#include "io/weights.h"

namespace glyphscope {
using nlohmann::ordered_json;

std::string map_name(const Axes& axes, const Scope& scope) {
  const auto uses = [&](Axis axis) { return axes.rows == axis || axes.columns == axis; };
  // Long lists would be no names for files.
  const auto short_text = [](const std::string& text) {
    constexpr size_t kLongest = 40;
    return text.size() <= kLongest ? text : sha256_text(text).substr(0, 12);
  };
  std::string out = to_string(axes);
  if (!uses(Axis::direction) && scope.direction != Direction::sufficiency) out += "-" + to_string(scope.direction);
  if (!scope.sites.empty()) out += "-sites-" + short_text(format_sites(scope.sites));
  if (uses(Axis::set)) {
    std::string sets;
    for (const auto& set : scope.sets) sets += (sets.empty() ? "" : "+") + format_sites(set);
    out += "-sets-" + short_text(sets);
  }
  if (uses(Axis::step)) out += "-ranges-" + std::to_string(scope.step_ranges);
  if (scope.from_step > 0) out += "-from-" + std::to_string(scope.from_step);
  return out;
}

EffectMap run_map(Cells& cells, const RunSettings& settings, const SiteTable& table, const Axes& axes, const Scope& asked) {
  const Scope scope = asked.of(axes);
  EffectMap out{map_name(axes, scope), make_grid(axes, scope, table), scope, {}, {}, {}};
  const Question question{out.name, "pairs, " + to_string(axes), out.grid.variants(), settings.cells(), {{"by", to_string(axes)}, {"scope", scope.to_json()}}};
  cells.answer({question});
  const auto scores_of = [&](const Variant& variant, const std::optional<std::string>& attribute = {}) {
    std::vector<Cell> over = question.cells;
    if (attribute) std::erase_if(over, [&](const Cell& cell) { return settings.pairs[static_cast<size_t>(cell.pair)].attribute != *attribute; });
    return scores_over(cells, settings, over, variant);
  };
  out.source = scores_of(own_picture(0));
  out.target = scores_of(own_picture(1));
  for (const auto& attribute : scope.attributes) {
    out.attribute_source[attribute] = scores_of(own_picture(0), attribute);
    out.attribute_target[attribute] = scores_of(own_picture(1), attribute);
  }
  for (size_t i = 0; i < out.grid.cells.size(); ++i) {
    const auto& variant = out.grid.cells[i];
    const auto attribute = out.grid.attributes.empty() ? std::nullopt : std::optional(out.grid.attributes[i]);
    out.scores.push_back(variant ? scores_of(*variant, attribute) : std::map<std::string, Score>());
  }
  return out;
}

ordered_json map_document(const EffectMap& map, const RunSettings& settings, const ModelInfo& model, const std::string& ocr, const RunCost& cost) {
  ordered_json cells = ordered_json::array();
  for (size_t row = 0; row < map.grid.rows.size(); ++row)
    for (size_t column = 0; column < map.grid.columns.size(); ++column) {
      const auto& variant = map.grid.at(row, column);
      if (!variant) continue;
      cells.push_back({{"row", row},
                       {"column", column},
                       {"variant", variant->label},
                       {"base", variant->base == 0 ? "A" : "B"},
                       {"sites", variant->sites()},
                       // Of what is beside the prompt's K and V it would be of other parameters.
                       {"share", variant->plan.beside_prompts() ? ordered_json() : ordered_json(model.table.share(variant->sites()))},
                       {"plan", variant->plan.to_json()},
                       {"scores", scores_json(map.scores[row * map.grid.columns.size() + column])}});
    }
  std::set<int> clusters;
  for (const int cluster : word_clusters(settings.pairs)) clusters.insert(cluster);
  ordered_json out{{"schema", "glyphscope.map/1"},
                   {"versions", {{"glyphscope", version()}, {"libtorch", torch_version()}, {"ocr", ocr}}},
                   {"model", describe_model(model)},
                   {"settings", settings.to_json()},
                   {"seconds", cost.seconds_json()},
                   {"peak_memory_bytes", cost.memory_json()},
                   {"resampled", {{"word_clusters", clusters.size()}, {"noises", settings.seeds.size()}}},
                   {"by", to_string(map.grid.axes)},
                   {"direction", to_string(map.scope.direction)},
                   {"from_step", map.scope.from_step},
                   {"rows", map.grid.rows}};
  if (map.grid.axes.columns) out["columns"] = map.grid.columns;
  out["source"] = scores_json(map.source);
  out["target"] = scores_json(map.target);
  for (const auto& attribute : map.scope.attributes)
    out["attributes"][attribute] = {{"source", scores_json(map.attribute_source.at(attribute))}, {"target", scores_json(map.attribute_target.at(attribute))}};
  out["cells"] = cells;
  return out;
}

void write_map(const EffectMap& map, const RunSettings& settings, const ModelInfo& model, const std::string& ocr, const RunCost& cost,
               const std::filesystem::path& folder) {
  const ordered_json document = map_document(map, settings, model, ocr, cost);
  write_json(folder / ("map-" + map.name + ".json"), document);
  std::string csv = "row,column,base,sites,share" + csv_score_names(map.source);
  csv += "\n";
  for (size_t row = 0; row < map.grid.rows.size(); ++row)
    for (size_t column = 0; column < map.grid.columns.size(); ++column) {
      const auto& variant = map.grid.at(row, column);
      if (!variant) continue;
      csv += csv_field(map.grid.rows[row]) + "," + csv_field(map.grid.columns[column]) + "," + (variant->base == 0 ? "A" : "B") + "," +
             csv_field(format_sites(variant->sites())) + "," + (variant->plan.beside_prompts() ? "" : csv_number(model.table.share(variant->sites()))) +
             csv_scores(map.scores[row * map.grid.columns.size() + column], map.source);
      csv += "\n";
    }
  write_text(folder / ("map-" + map.name + ".csv"), csv);
  write_figure(map_figure(map, model, static_cast<int>(settings.pairs.size())), {}, folder / ("map-" + map.name + ".png"), without_key(document, "cells"));
}

Figure map_figure(const EffectMap& map, const ModelInfo& model, int pairs) {
  const bool attributes = !map.scope.attributes.empty(), of_attributes = map.grid.axes.columns == Axis::attribute;
  const std::vector<const ScoreInfo*> shown{find_score(attributes ? "target_attribute" : "target_f1"),
                                            find_score(attributes ? "source_attribute" : "source_f1"), find_score("ssim_outside_text")};
  const bool each_direction = map.grid.axes.rows == Axis::direction || map.grid.axes.columns == Axis::direction;
  const std::string whose = each_direction                                ? "A's picture, patched to see prompt B; of necessity B's, patched to see A"
                            : map.scope.direction == Direction::necessity ? "prompt B's picture, patched to see prompt A"
                                                                          : "prompt A's picture, patched to see prompt B";
  Figure out{.title = "Which " + to_string(map.grid.axes.rows) + (map.grid.axes.columns ? " and " + to_string(*map.grid.axes.columns) : "") +
                      (attributes ? " carries what the prompts differ by?" : " writes the text?") +
                      (each_direction ? "" : " (" + to_string(map.scope.direction) + ")"),
             .subtitle = model.source + ": " + whose + ". " + std::to_string(pairs) + (pairs == 1 ? " pair." : " pairs.")};
  const size_t rows = map.grid.rows.size(), columns = map.grid.columns.size();
  constexpr size_t kNarrow = 6;
  if (columns <= kNarrow) out.columns = static_cast<int>(shown.size());
  const auto value_of = [](const std::map<std::string, Score>& scores, const ScoreInfo& info) -> std::optional<PlotValue> {
    const auto found = scores.find(std::string(info.key));
    return found == scores.end() ? std::nullopt : plot_value(found->second);
  };
  for (const ScoreInfo* info : shown) {
    HeatPanel panel;
    panel.row_axis = to_string(map.grid.axes.rows);
    panel.rows = map.grid.rows;
    panel.columns = map.grid.columns;
    if (map.grid.axes.columns) panel.column_axis = to_string(*map.grid.axes.columns);
    for (size_t row = 0; row < rows; ++row) {
      panel.values.emplace_back();
      for (size_t column = 0; column < columns; ++column)
        panel.values.back().push_back(map.grid.at(row, column) ? value_of(map.scores[row * columns + column], *info) : std::nullopt);
    }
    // A's and B's own pictures: beside the grid; of attributes in columns, of each the own, below it.
    if (of_attributes) {
      panel.rows_apart = 2;
      for (const bool source : {true, false}) {
        panel.rows.emplace_back(source ? "A" : "B");
        panel.values.emplace_back();
        for (const auto& attribute : map.grid.columns)
          panel.values.back().push_back(value_of((source ? map.attribute_source : map.attribute_target).at(attribute), *info));
      }
    } else {
      panel.columns_apart = 2;
      panel.apart = "unpatched";
      panel.columns.insert(panel.columns.end(), {"A", "B"});
      for (size_t row = 0; row < rows; ++row) {
        panel.values[row].push_back(row == 0 ? value_of(map.source, *info) : std::nullopt);
        panel.values[row].push_back(row == 0 ? value_of(map.target, *info) : std::nullopt);
      }
    }
    out.parts.push_back({info->title, std::move(panel)});
  }
  return out;
}

}  // namespace glyphscope
