#include "experiments/map.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/heat_colour.h"
#include "core/version.h"
#include "experiments/score_table_text.h"
#include "experiments/smallest_set.h"
#include "io/canvas.h"
#include "io/files.h"
#include "io/image_file.h"
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
  write_png(folder / ("map-" + map.name + ".png"), draw_map(map, model, static_cast<int>(settings.pairs.size())), without_key(document, "cells"));
}

torch::Tensor draw_map(const EffectMap& map, const ModelInfo& model, int pairs) {
  constexpr int kCell = 46, kRow = 30, kMargin = 16, kTop = 66, kBottom = 0, kPanel = 40, kGap = 26;
  constexpr Colour kInk{30, 30, 36}, kSoft{110, 110, 120}, kPaper{255, 255, 255};
  const bool attributes = !map.scope.attributes.empty();
  const std::vector<const ScoreInfo*> panels{find_score(attributes ? "target_attribute" : "target_f1"),
                                             find_score(attributes ? "source_attribute" : "source_f1"), find_score("ssim_outside_text")};
  const int rows = static_cast<int>(map.grid.rows.size()), columns = static_cast<int>(map.grid.columns.size());
  Canvas measure(8, 8, kPaper);
  int labels = measure.text_width(to_string(map.grid.axes.rows), 12), widest = kCell;
  for (const auto& row : map.grid.rows) labels = std::max(labels, measure.text_width(row, 12));
  for (const auto& column : map.grid.columns) widest = std::max(widest, measure.text_width(column, 12) + 12);
  const int left = kMargin + labels + 12, panel_height = kPanel + (rows + (map.grid.axes.columns == Axis::attribute ? 2 : 0)) * kRow + kGap;
  const bool each_direction = map.grid.axes.rows == Axis::direction || map.grid.axes.columns == Axis::direction;
  const std::string title = "Which " + to_string(map.grid.axes.rows) + (map.grid.axes.columns ? " and " + to_string(*map.grid.axes.columns) : "") +
                            (attributes ? " carries what the prompts differ by?" : " writes the text?") +
                            (each_direction ? "" : " (" + to_string(map.scope.direction) + ")");
  const std::string whose = each_direction                                ? "A's picture, patched to see prompt B; of necessity B's, patched to see A"
                            : map.scope.direction == Direction::necessity ? "prompt B's picture, patched to see prompt A"
                                                                          : "prompt A's picture, patched to see prompt B";
  const std::string below = model.source + ": " + whose + ". " + std::to_string(pairs) + (pairs == 1 ? " pair." : " pairs.") +
                            (map.grid.axes.columns ? " Columns: " + to_string(*map.grid.axes.columns) + "." : "");
  // Beside the grid: A's and B's own pictures; of attributes in columns, of each the own, below it.
  const bool below_grid = map.grid.axes.columns == Axis::attribute;
  const int own = left + widest * columns + 20;
  const int width = std::max({own + (below_grid ? 0 : 2 * kCell), kMargin + measure.text_width(title, 16), kMargin + measure.text_width(below, 12)}) + kMargin;
  Canvas canvas(width, kTop + panel_height * static_cast<int>(panels.size()) + kBottom, kPaper);
  canvas.text(title, kMargin, 26, 16, kInk);
  canvas.text(below, kMargin, 46, 12, kSoft);
  const auto cell = [&](int x, int y, int wide, double value) {
    canvas.fill(x + 1, y + 1, wide - 2, kRow - 2, heat_rgb(value));
    char text[16];
    std::snprintf(text, sizeof text, "%.2f", value);
    const Colour back = heat_rgb(value);
    canvas.text(text, x + wide / 2, y + kRow / 2 + 5, 12, back[0] + back[1] + back[2] > 380 ? kInk : kPaper, Canvas::Align::centre);
  };
  const auto mean = [](const std::map<std::string, Score>& scores, const ScoreInfo& info) {
    const auto found = scores.find(std::string(info.key));
    return found == scores.end() ? 0.0 : found->second.mean;
  };
  for (size_t panel = 0; panel < panels.size(); ++panel) {
    const ScoreInfo& info = *panels[panel];
    const int top = kTop + panel_height * static_cast<int>(panel);
    canvas.text(info.title, kMargin, top + 14, 13, kInk);
    canvas.text(to_string(map.grid.axes.rows), left - 12, top + kPanel - 6, 12, kSoft, Canvas::Align::right);
    for (int column = 0; column < columns; ++column)
      canvas.text(map.grid.columns[static_cast<size_t>(column)], left + widest * column + widest / 2, top + kPanel - 6, 12, kInk, Canvas::Align::centre);
    if (below_grid) {
      for (int which = 0; which < 2; ++which) {
        const int y = top + kPanel + (rows + which) * kRow;
        canvas.text(which == 0 ? "A" : "B", left - 12, y + kRow / 2 + 5, 12, kSoft, Canvas::Align::right);
        for (int column = 0; column < columns; ++column)
          cell(left + widest * column, y, widest,
               mean((which == 0 ? map.attribute_source : map.attribute_target).at(map.grid.columns[static_cast<size_t>(column)]), info));
      }
    } else {
      canvas.text("A", own + kCell / 2, top + kPanel - 6, 12, kInk, Canvas::Align::centre);
      canvas.text("B", own + kCell + kCell / 2, top + kPanel - 6, 12, kInk, Canvas::Align::centre);
      cell(own, top + kPanel, kCell, mean(map.source, info));
      cell(own + kCell, top + kPanel, kCell, mean(map.target, info));
    }
    for (int row = 0; row < rows; ++row) {
      const int y = top + kPanel + row * kRow;
      canvas.text(map.grid.rows[static_cast<size_t>(row)], left - 12, y + kRow / 2 + 5, 12, kInk, Canvas::Align::right);
      for (int column = 0; column < columns; ++column) {
        const auto& variant = map.grid.at(static_cast<size_t>(row), static_cast<size_t>(column));
        if (variant)
          cell(left + widest * column, y, widest, mean(map.scores[static_cast<size_t>(row) * map.grid.columns.size() + static_cast<size_t>(column)], info));
        else
          canvas.fill(left + widest * column + widest / 2 - 4, y + kRow / 2, 8, 1, kSoft);
      }
    }
  }
  return canvas.image();
}

}  // namespace glyphscope
