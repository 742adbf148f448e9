#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/bitmap.h"
#include "core/colour_map.h"

namespace glyphscope {

/// A value with its interval, where there is one.
struct PlotValue {
  double mean = 0;
  std::optional<double> low, high;
};

/// Values by row and column, each a coloured cell, with its number where there is room.
struct HeatPanel {
  std::string row_axis, column_axis;  ///< What rows and columns are.
  std::vector<std::string> rows, columns;
  std::vector<std::vector<std::optional<PlotValue>>> values;  ///< [row][column]
  /// So many rows and columns at the end stand apart from the others, with a name for the columns: what the rest is compared with.
  int rows_apart = 0, columns_apart = 0;
  std::string apart;
  std::vector<std::pair<int, std::string>> groups;  ///< Of columns: the first of each, and its name.
  std::set<int> marked;                             ///< Columns that the figure is about.
  std::map<int, double> thresholds;                 ///< By row: cells whose interval holds it are hatched.
  double low = 0, high = 1;                         ///< What the colours span.
  std::optional<ColourMap> colours;                 ///< Else the style's.
};

/// Curves over a common axis.
struct LinePanel {
  struct Line {
    std::string name;                               ///< For the legend; "" for none.
    std::vector<std::pair<double, double>> points;  ///< By rising x; what is not finite, or on a logarithmic axis not over 0, is left out.
    bool marks = false;                             ///< A mark at each point.
  };
  std::string x_axis, y_axis;
  std::vector<Line> lines;
  bool logarithmic = false;
  std::optional<std::pair<double, double>> y_range;  ///< Else what the lines span.
};

/// Means and intervals, a row for each thing that is compared, in one column or more.
struct IntervalPanel {
  struct Row {
    std::string name;
    bool strong = false;
  };
  struct Column {
    std::string title;
    double low = 0, high = 1;                      ///< Of its axis.
    std::vector<std::optional<PlotValue>> values;  ///< By row.
    std::optional<double> reference;               ///< A line at this value.
  };
  std::vector<Row> rows;
  std::vector<Column> columns;
  bool numbers = false;  ///< Beside each.
};

/// Pictures in rows, all of the same width.
struct PicturePanel {
  struct Picture {
    Bitmap image;
    std::string caption;  ///< Below it.
  };
  std::vector<std::string> row_names;  ///< Before the rows; none: rows have no names.
  std::vector<std::vector<Picture>> rows;
};

/// Cells at places of their own, as a model's map has them.
struct MapPanel {
  struct Cell {
    double left = 0, top = 0, width = 0, height = 0;
    std::string name;
    std::optional<PlotValue> value;
    bool marked = false, hatched = false;
  };
  struct Label {
    double left = 0, top = 0, width = 0, height = 0;
    std::string text;
  };
  double width = 0, height = 0;      ///< The unit in which places are told: all of it.
  double low = 0, high = 1;          ///< What the colours span.
  std::optional<ColourMap> colours;  ///< Else the style's.
  std::vector<Cell> cells;
  std::vector<Label> labels;
};

/// What a figure shows, and nothing of how: the one description that the window draws on the screen and this room in files.
struct Figure {
  struct Badge {
    std::string text;
    bool good = false;
  };
  struct Part {
    std::string title;
    std::variant<HeatPanel, LinePanel, IntervalPanel, PicturePanel, MapPanel> panel;
  };
  std::string title, subtitle;
  std::vector<Badge> badges;
  std::vector<Part> parts;
  int columns = 1;        ///< Parts beside each other, at most; fewer where they would be too small.
  bool lettered = false;  ///< a, b, c before the titles of the parts.
  std::string note;       ///< Below all.

  nlohmann::ordered_json to_json() const;
  /// The reverse. Throws a Failure that names where, for what is no figure.
  static Figure from_json(const nlohmann::ordered_json& json, const std::string& where);
  /// All values, one a line: part, row, column, mean, low, high; of curves x is the column.
  std::string csv() const;
};

struct FigureStyle {
  double width_mm = 0;  ///< 0: as wide as it is read best.
  int dpi = 144;        ///< Of pixels.
  bool dark = false;
  bool titles = true;  ///< The figure's title and subtitle.
  ColourMap colours = ColourMap::viridis;
  double letters = 9;  ///< Points.

  nlohmann::ordered_json to_json() const;
  /// The reverse; what is missing is as it is by itself. Throws a Failure that names where.
  static FigureStyle from_json(const nlohmann::ordered_json& json, const std::string& where);
  /// Throws a Failure for what cannot be: a width below 20 or above 2000 mm, below 36 or above 1200 dpi, letters below 4 or above 24 points.
  void check() const;
};

/// What can be written: .png, .svg and .pdf.
bool is_figure_file(const std::filesystem::path& file);

Bitmap draw(const Figure& figure, const FigureStyle& style = {});
/// The bytes of a file whose name ends so. metadata: what made it; in an SVG and a PDF as text, in a PNG beside the figure's description, from which it can
/// be drawn again.
std::string figure_bytes(const Figure& figure, const FigureStyle& style, const std::string& ending, const nlohmann::ordered_json& metadata);
/// Writes a figure by the ending of its name; the file whole or not at all.
void write_figure(const Figure& figure, const FigureStyle& style, const std::filesystem::path& file, const nlohmann::ordered_json& metadata);
/// The same, and beside it FILE.csv with its values, where it has some.
/// Returns the table's file; empty: there are no values. Refuses to write over a table that is no figure's.
std::filesystem::path save_figure(const Figure& figure, const FigureStyle& style, const std::filesystem::path& file, const nlohmann::ordered_json& metadata);
/// As a session keeps it: a small PNG that holds figure and style; and its pixels.
std::string kept_figure(const Figure& figure, const FigureStyle& style);
Bitmap kept_look(const Figure& figure, const FigureStyle& style);

/// A figure, and how it was drawn.
struct DrawnFigure {
  Figure figure;
  FigureStyle style;
};
/// What a PNG of figure_bytes or the JSON of a figure holds. where: what errors name. Throws a Failure.
DrawnFigure figure_of(const std::string& bytes, const std::filesystem::path& where);
DrawnFigure read_figure(const std::filesystem::path& file);
/// Whether a file is a PNG that holds a figure; of what cannot be read, no.
bool holds_figure(const std::filesystem::path& file);

}  // namespace glyphscope
