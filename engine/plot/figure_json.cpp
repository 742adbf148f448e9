#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/base64.h"
#include "io/csv_text.h"
#include "io/image_file.h"
#include "io/json.h"
#include "plot/figure.h"

namespace glyphscope {
using nlohmann::ordered_json;

namespace {

constexpr const char* kFigureSchema = "glyphscope.figure/1";

ordered_json number(double value) { return std::isfinite(value) ? ordered_json(value) : ordered_json(); }

ordered_json value_json(const std::optional<PlotValue>& value) {
  if (!value) return nullptr;
  ordered_json out{number(value->mean)};
  if (value->low && value->high) out.insert(out.end(), {number(*value->low), number(*value->high)});
  return out;
}

std::optional<PlotValue> value_of(const ordered_json& json) {
  if (json.is_null() || json.at(0).is_null()) return std::nullopt;
  PlotValue out{json.at(0).get<double>(), {}, {}};
  if (json.size() == 3 && json[1].is_number() && json[2].is_number()) out.low = json[1].get<double>(), out.high = json[2].get<double>();
  return out;
}

ordered_json panel_json(const HeatPanel& panel) {
  ordered_json values = ordered_json::array(), groups = ordered_json::array(), thresholds = ordered_json::array();
  for (const auto& row : panel.values) {
    ordered_json line = ordered_json::array();
    for (const auto& value : row) line.push_back(value_json(value));
    values.push_back(std::move(line));
  }
  for (const auto& [first, name] : panel.groups) groups.push_back({first, name});
  for (const auto& [row, value] : panel.thresholds) thresholds.push_back({row, value});
  ordered_json out{
      {"kind", "heat"},         {"row_axis", panel.row_axis},     {"column_axis", panel.column_axis},     {"rows", panel.rows},   {"columns", panel.columns},
      {"values", values},       {"rows_apart", panel.rows_apart}, {"columns_apart", panel.columns_apart}, {"apart", panel.apart}, {"groups", groups},
      {"marked", panel.marked}, {"thresholds", thresholds},       {"range", {panel.low, panel.high}}};
  if (panel.colours) out["colours"] = to_string(*panel.colours);
  return out;
}

HeatPanel heat_of(const ordered_json& json, const std::string& where) {
  HeatPanel out;
  out.row_axis = json.at("row_axis"), out.column_axis = json.at("column_axis");
  out.rows = json.at("rows").get<std::vector<std::string>>(), out.columns = json.at("columns").get<std::vector<std::string>>();
  for (const auto& line : json.at("values")) {
    out.values.emplace_back();
    for (const auto& value : line) out.values.back().push_back(value_of(value));
  }
  const auto rows = static_cast<int>(out.rows.size()), columns = static_cast<int>(out.columns.size());
  bool fits = out.values.size() == out.rows.size();
  for (const auto& line : out.values) fits = fits && line.size() == out.columns.size();
  out.rows_apart = json.at("rows_apart"), out.columns_apart = json.at("columns_apart"), out.apart = json.at("apart");
  fits = fits && out.rows_apart >= 0 && out.rows_apart <= rows && out.columns_apart >= 0 && out.columns_apart <= columns;
  for (const auto& group : json.at("groups")) {
    out.groups.emplace_back(group.at(0).get<int>(), group.at(1).get<std::string>());
    const int first = out.groups.back().first;
    fits = fits && first >= 0 && first < columns - out.columns_apart && (out.groups.size() < 2 || out.groups[out.groups.size() - 2].first < first);
  }
  for (const auto& one : json.at("thresholds")) out.thresholds[one.at(0).get<int>()] = one.at(1).get<double>();
  for (const auto& [row, value] : out.thresholds) fits = fits && row >= 0 && row < rows;
  if (!fits) reject("the values are not of as many rows and columns as are named", where);
  out.marked = json.at("marked").get<std::set<int>>();
  out.low = json.at("range").at(0), out.high = json.at("range").at(1);
  if (json.contains("colours")) out.colours = colour_map_of(json["colours"].get<std::string>());
  return out;
}

ordered_json panel_json(const LinePanel& panel) {
  ordered_json lines = ordered_json::array();
  for (const auto& line : panel.lines) {
    ordered_json points = ordered_json::array();
    for (const auto& [x, y] : line.points) points.push_back({number(x), number(y)});
    lines.push_back({{"name", line.name}, {"marks", line.marks}, {"points", points}});
  }
  ordered_json out{{"kind", "lines"}, {"x_axis", panel.x_axis}, {"y_axis", panel.y_axis}, {"logarithmic", panel.logarithmic}, {"lines", lines}};
  if (panel.y_range) out["y_range"] = {panel.y_range->first, panel.y_range->second};
  return out;
}

LinePanel lines_of(const ordered_json& json) {
  LinePanel out;
  out.x_axis = json.at("x_axis"), out.y_axis = json.at("y_axis"), out.logarithmic = json.at("logarithmic");
  for (const auto& line : json.at("lines")) {
    out.lines.push_back({line.at("name"), {}, line.at("marks")});
    for (const auto& point : line.at("points"))
      if (point.at(0).is_number() && point.at(1).is_number()) out.lines.back().points.emplace_back(point[0].get<double>(), point[1].get<double>());
  }
  if (json.contains("y_range")) out.y_range.emplace(json["y_range"].at(0).get<double>(), json["y_range"].at(1).get<double>());
  return out;
}

ordered_json panel_json(const IntervalPanel& panel) {
  ordered_json rows = ordered_json::array(), columns = ordered_json::array();
  for (const auto& row : panel.rows) rows.push_back({{"name", row.name}, {"strong", row.strong}});
  for (const auto& column : panel.columns) {
    ordered_json values = ordered_json::array();
    for (const auto& value : column.values) values.push_back(value_json(value));
    columns.push_back({{"title", column.title}, {"range", {column.low, column.high}}, {"values", values}});
    if (column.reference) columns.back()["reference"] = *column.reference;
  }
  return {{"kind", "intervals"}, {"rows", rows}, {"columns", columns}, {"numbers", panel.numbers}};
}

IntervalPanel intervals_of(const ordered_json& json, const std::string& where) {
  IntervalPanel out;
  for (const auto& row : json.at("rows")) out.rows.push_back({row.at("name"), row.at("strong")});
  for (const auto& column : json.at("columns")) {
    out.columns.push_back({column.at("title"), column.at("range").at(0), column.at("range").at(1), {}, {}});
    for (const auto& value : column.at("values")) out.columns.back().values.push_back(value_of(value));
    if (column.contains("reference")) out.columns.back().reference = column["reference"].get<double>();
    if (out.columns.back().values.size() != out.rows.size()) reject("a column has not as many values as there are rows", where);
  }
  out.numbers = json.at("numbers");
  return out;
}

ordered_json panel_json(const PicturePanel& panel) {
  ordered_json rows = ordered_json::array();
  for (const auto& row : panel.rows) {
    ordered_json line = ordered_json::array();
    for (const auto& one : row) line.push_back({{"caption", one.caption}, {"png", one.image.width > 0 ? to_base64(png_bytes(one.image)) : ""}});
    rows.push_back(std::move(line));
  }
  return {{"kind", "pictures"}, {"row_names", panel.row_names}, {"rows", rows}};
}

// pixels: of all pictures of the figure so far.
PicturePanel pictures_of(const ordered_json& json, const std::string& where, std::int64_t& pixels) {
  constexpr std::int64_t kMostPixels = std::int64_t{1} << 26;
  PicturePanel out;
  out.row_names = json.at("row_names").get<std::vector<std::string>>();
  for (const auto& row : json.at("rows")) {
    out.rows.emplace_back();
    for (const auto& one : row) {
      const std::string png = one.at("png");
      out.rows.back().push_back({png.empty() ? Bitmap{} : to_bitmap(image_of(from_base64(png, "a picture of the figure", where), where)), one.at("caption")});
      const Bitmap& image = out.rows.back().back().image;
      pixels += std::int64_t{image.width} * image.height;
      if (pixels > kMostPixels) reject("the figure's pictures have more than 67 million pixels", where);
    }
  }
  return out;
}

ordered_json panel_json(const MapPanel& panel) {
  ordered_json cells = ordered_json::array(), labels = ordered_json::array();
  for (const auto& cell : panel.cells)
    cells.push_back({{"place", {cell.left, cell.top, cell.width, cell.height}},
                     {"name", cell.name},
                     {"value", value_json(cell.value)},
                     {"marked", cell.marked},
                     {"hatched", cell.hatched}});
  for (const auto& label : panel.labels) labels.push_back({{"place", {label.left, label.top, label.width, label.height}}, {"text", label.text}});
  ordered_json out{{"kind", "map"}, {"size", {panel.width, panel.height}}, {"range", {panel.low, panel.high}}, {"cells", cells}, {"labels", labels}};
  if (panel.colours) out["colours"] = to_string(*panel.colours);
  return out;
}

MapPanel map_of(const ordered_json& json, const std::string& where) {
  MapPanel out;
  out.width = json.at("size").at(0), out.height = json.at("size").at(1);
  out.low = json.at("range").at(0), out.high = json.at("range").at(1);
  if (json.contains("colours")) out.colours = colour_map_of(json["colours"].get<std::string>());
  const auto check = [&](double left, double top, double width, double height) {
    constexpr double kRounding = 1;
    const bool fits =
        left >= -kRounding && top >= -kRounding && width >= 0 && height >= 0 && left + width <= out.width + kRounding && top + height <= out.height + kRounding;
    if (!fits) reject("a place on the map lies outside of it", where);  // what is no number is nowhere
  };
  constexpr double kLargestMap = 1e6;
  if (!(out.width > 0 && out.height > 0 && out.width <= kLargestMap && out.height <= kLargestMap)) reject("the map has no size", where);
  for (const auto& cell : json.at("cells")) {
    const auto& place = cell.at("place");
    out.cells.push_back(
        {place.at(0), place.at(1), place.at(2), place.at(3), cell.at("name"), value_of(cell.at("value")), cell.at("marked"), cell.at("hatched")});
    const auto& one = out.cells.back();
    check(one.left, one.top, one.width, one.height);
  }
  for (const auto& label : json.at("labels")) {
    const auto& place = label.at("place");
    out.labels.push_back({place.at(0), place.at(1), place.at(2), place.at(3), label.at("text")});
    const auto& one = out.labels.back();
    check(one.left, one.top, one.width, one.height);
  }
  return out;
}

// Lines of the table.
class Table {
 public:
  explicit Table(const std::string& part) : part_(csv_field(part)) {}

  void add(const std::string& row, const std::string& column, const std::optional<PlotValue>& value) {
    if (!value) return;
    text += part_ + "," + csv_field(row) + "," + csv_field(column) + "," + csv_number(value->mean) + "," + (value->low ? csv_number(*value->low) : "") + "," +
            (value->high ? csv_number(*value->high) : "") + "\n";
  }
  void add_all(const HeatPanel& panel) {
    for (size_t r = 0; r < panel.rows.size(); ++r)
      for (size_t c = 0; c < panel.columns.size(); ++c) add(panel.rows[r], panel.columns[c], panel.values[r][c]);
  }
  void add_all(const LinePanel& panel) {
    for (const auto& line : panel.lines)
      for (const auto& [x, y] : line.points) add(line.name, csv_number(x), PlotValue{y, {}, {}});
  }
  void add_all(const IntervalPanel& panel) {
    for (const auto& column : panel.columns)
      for (size_t r = 0; r < panel.rows.size(); ++r) add(panel.rows[r].name, column.title, column.values[r]);
  }
  void add_all(const PicturePanel&) {}
  void add_all(const MapPanel& panel) {
    for (const auto& cell : panel.cells) add(cell.name, "", cell.value);
  }

  std::string text;

 private:
  std::string part_;
};

}  // namespace

ordered_json Figure::to_json() const {
  ordered_json all = ordered_json::array(), marks = ordered_json::array();
  for (const auto& part : parts) {
    all.push_back({{"title", part.title}});
    all.back()["panel"] = std::visit([](const auto& panel) { return panel_json(panel); }, part.panel);
  }
  for (const auto& badge : badges) marks.push_back({{"text", badge.text}, {"good", badge.good}});
  return {{"schema", kFigureSchema}, {"title", title},       {"subtitle", subtitle}, {"badges", marks}, {"parts", all},
          {"columns", columns},      {"lettered", lettered}, {"note", note}};
}

Figure Figure::from_json(const ordered_json& json, const std::string& where) {
  try {
    if (!json.is_object() || json.value("schema", "") != kFigureSchema) reject("this is no figure of this version of Glyphscope", where);
    Figure out;
    std::int64_t pixels = 0;
    out.title = json.at("title"), out.subtitle = json.at("subtitle"), out.columns = json.at("columns"), out.lettered = json.at("lettered"),
    out.note = json.at("note");
    for (const auto& badge : json.at("badges")) out.badges.push_back({badge.at("text"), badge.at("good")});
    for (const auto& part : json.at("parts")) {
      const auto& panel = part.at("panel");
      const std::string kind = panel.at("kind"), title = part.at("title");
      if (kind == "heat")
        out.parts.push_back({title, heat_of(panel, where)});
      else if (kind == "lines")
        out.parts.push_back({title, lines_of(panel)});
      else if (kind == "intervals")
        out.parts.push_back({title, intervals_of(panel, where)});
      else if (kind == "pictures")
        out.parts.push_back({title, pictures_of(panel, where, pixels)});
      else if (kind == "map")
        out.parts.push_back({title, map_of(panel, where)});
      else
        reject("a figure's part is of the kind '" + kind + "', which this version does not know", where, "Get a newer Glyphscope");
    }
    return out;
  } catch (const nlohmann::json::exception& error) {
    reject("the figure's description is damaged: " + json_message(error), where);
  }
}

std::string Figure::csv() const {
  std::string out;
  for (const auto& part : parts) {
    Table table(part.title);
    std::visit([&](const auto& panel) { table.add_all(panel); }, part.panel);
    out += table.text;
  }
  return out.empty() ? "" : "part,row,column,mean,low,high\n" + out;
}

}  // namespace glyphscope
