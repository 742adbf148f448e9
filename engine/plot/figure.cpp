#include "plot/figure.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/files.h"
#include "io/image_file.h"
#include "io/json.h"
#include "plot/panels.h"

namespace glyphscope {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

constexpr double kPoint = 25.4 / 72;  // in mm
constexpr double kMargin = 1.4;       // em
constexpr const char* kTableHead = "part,row,column,mean,low,high";
constexpr const char *kFigureKey = "figure", *kStyleKey = "figure_style";

// A stranger's file may be nested so deeply that nobody could walk through it.
ordered_json shallow_json(const std::string& text) {
  constexpr int kDeepest = 32;
  bool deep = false;
  ordered_json out = ordered_json::parse(
      text,
      [&](int depth, ordered_json::parse_event_t, ordered_json&) {
        deep |= depth > kDeepest;
        return depth <= kDeepest;
      },
      /*allow_exceptions=*/false);
  return deep ? ordered_json(ordered_json::value_t::discarded) : out;
}

struct Drawing {
  Canvas canvas;
  Extent size;
  PlotInk ink;
};

double draw_scale(const PlotPen& pen, const Point& at, ColourMap colours, double low, double high, double right) {
  const double em = pen.em(), tall = 0.8 * em, wide = std::min(12 * em, (right - at.x) * 0.4);
  const std::string from = axis_number(low), to = axis_number(high);
  const double start = at.x + Canvas::text_width(from, pen.font(0.85)) + 0.4 * em;
  constexpr int kSteps = 64;
  // Each step lies a little under the next, or seams would show.
  for (int i = 0; i < kSteps; ++i)
    pen.canvas.fill({start + wide * i / kSteps, at.y, i + 1 < kSteps ? 1.5 * wide / kSteps : wide / kSteps, tall}, colour_of(colours, (i + 0.5) / kSteps));
  pen.canvas.text(from, {at.x, at.y + tall}, pen.font(0.85), pen.ink.soft);
  pen.canvas.text(to, {start + wide + 0.4 * em, at.y + tall}, pen.font(0.85), pen.ink.soft);
  return start + wide + 0.4 * em + Canvas::text_width(to, pen.font(0.85)) + 2 * em;
}

bool has_hatching(const HeatPanel& panel) {
  for (const auto& [row, threshold] : panel.thresholds)
    for (const auto& value : panel.values[static_cast<size_t>(row)])
      if (value && value->low && value->high && *value->low < threshold && *value->high >= threshold) return true;
  return false;
}

bool has_hatching(const MapPanel& panel) {
  return std::any_of(panel.cells.begin(), panel.cells.end(), [](const auto& cell) { return cell.hatched; });
}

// a .. z, then aa, ab, ..
std::string part_letter(size_t part) {
  std::string out;
  for (size_t rest = part + 1; rest > 0; rest = (rest - 1) / 26) out.insert(out.begin(), static_cast<char>('a' + (rest - 1) % 26));
  return out;
}

// The colours that the figure uses, and what hatching means.
double draw_key(const PlotPen& pen, const Figure& figure, const Point& at, double width) {
  struct Scale {
    ColourMap colours;
    double low, high;
    std::string of;  ///< The parts that have it.
  };
  std::vector<Scale> scales;
  bool hatched = false;
  const auto add = [&](const Scale& scale) {
    const auto same = [&](const Scale& other) { return other.colours == scale.colours && other.low == scale.low && other.high == scale.high; };
    const auto found = std::find_if(scales.begin(), scales.end(), same);
    if (found == scales.end())
      scales.push_back(scale);
    else
      found->of += ", " + scale.of;
  };
  for (size_t i = 0; i < figure.parts.size(); ++i) {
    const auto& part = figure.parts[i];
    const std::string name = figure.lettered ? part_letter(i) : part.title;
    if (const auto* heat = std::get_if<HeatPanel>(&part.panel))
      add({heat->colours.value_or(pen.style.colours), heat->low, heat->high, name}), hatched |= has_hatching(*heat);
    if (const auto* map = std::get_if<MapPanel>(&part.panel))
      add({map->colours.value_or(pen.style.colours), map->low, map->high, name}), hatched |= has_hatching(*map);
  }
  double x = at.x, y = at.y;
  const double em = pen.em(), line = 1.6 * em;
  const auto begin_line = [&] {
    if (x > at.x) x = at.x, y += line;
  };
  for (const auto& scale : scales) {
    // With more than one, each tells whose it is.
    if (scales.size() > 1) {
      begin_line();
      const std::string whose = Canvas::shortened(scale.of, pen.font(0.85), width / 2);
      pen.canvas.text(whose, {x, y + 0.75 * em}, pen.font(0.85), pen.ink.soft);
      x += Canvas::text_width(whose, pen.font(0.85)) + em;
    }
    x = draw_scale(pen, {x, y}, scale.colours, scale.low, scale.high, at.x + width);
  }
  if (hatched) {
    constexpr const char* kText = "the interval holds the threshold";
    if (x + 2 * em + Canvas::text_width(kText, pen.font(0.85)) > at.x + width) begin_line();
    pen.canvas.outline({x, y, 1.4 * em, 0.8 * em}, pen.ink.soft, 0.5);
    pen.canvas.hatch({x, y, 1.4 * em, 0.8 * em}, pen.ink.soft);
    pen.canvas.text(Canvas::shortened(kText, pen.font(0.85), at.x + width - x - 2 * em), {x + 1.8 * em, y + 0.75 * em}, pen.font(0.85), pen.ink.soft);
  }
  return scales.empty() ? 0 : y + line - at.y;
}

double draw_badges(const PlotPen& pen, const std::vector<Figure::Badge>& badges, const Point& at, double width) {
  constexpr Colour kGood{30, 110, 66}, kBad{178, 60, 48}, kOnBadge{255, 255, 255};
  const double em = pen.em(), tall = 2 * em;
  double x = at.x, y = at.y;
  for (const auto& badge : badges) {
    const std::string text = Canvas::shortened(badge.text, pen.font(), width - 1.6 * em);
    const double wide = Canvas::text_width(text, pen.font()) + 1.6 * em;
    if (x > at.x && x + wide > at.x + width) x = at.x, y += tall + 0.5 * em;
    pen.canvas.fill({x, y, wide, tall}, badge.good ? kGood : kBad);
    pen.canvas.text(text, {x + wide / 2, y + tall / 2 + 0.36 * em}, pen.font(), kOnBadge, Canvas::Align::centre);
    x += wide + 0.6 * em;
  }
  return y + tall - at.y;
}

double natural_width(const PlotPen& pen, const Figure::Part& part) {
  return std::visit([&](const auto& panel) { return natural_width(pen, panel); }, part.panel);
}

// Parts that stand beside each other: from `first` to `end`.
struct Row {
  size_t first, end;
  double natural;  ///< The sum of what they are read best at.

  double between(double gap) const { return gap * static_cast<double>(end - first - 1); }
};

// Rows are broken as lines are: so many parts at most, and no more than can be read beside each other.
std::vector<Row> rows_of(const std::vector<double>& natural, size_t most, std::optional<double> width) {
  constexpr double kSmallestShare = 0.5;
  std::vector<Row> out;
  for (size_t i = 0; i < natural.size(); ++i) {
    const bool fits = !out.empty() && out.back().end - out.back().first < most && (!width || (out.back().natural + natural[i]) * kSmallestShare <= *width);
    if (!fits) out.push_back({i, i, 0});
    out.back().end = i + 1;
    out.back().natural += natural[i];
  }
  return out;
}

Drawing draw_all(const Figure& figure, const FigureStyle& style) {
  style.check();
  Drawing out{{}, {}, PlotInk::of(style)};
  const PlotPen pen{out.canvas, style, out.ink};
  const double em = pen.em(), margin = kMargin * em, between = 2 * em;
  std::optional<double> width;
  if (style.width_mm > 0) width = style.width_mm / kPoint - 2 * margin;
  constexpr double kLeast = 14;  // em
  std::vector<double> widths;
  for (const auto& part : figure.parts) widths.push_back(std::max(natural_width(pen, part), kLeast * em));
  const std::vector<Row> rows = rows_of(widths, static_cast<size_t>(std::max(1, figure.columns)), width);
  double widest = 0, factor = std::numeric_limits<double>::infinity();
  for (const Row& row : rows) {
    widest = std::max(widest, row.natural + row.between(between));
    if (width) factor = std::min(factor, (*width - row.between(between)) / row.natural);
  }
  // All are stretched alike, so that pictures stay of one size; a row that is too wide shrinks alone.
  for (const Row& row : rows)
    for (size_t i = row.first; width && i < row.end; ++i) widths[i] *= factor >= 1 ? factor : std::min(1.0, (*width - row.between(between)) / row.natural);
  // A long title breaks; a short line of text is not what widens a figure.
  if (!width) width = std::max(widest, 30 * em);
  double y = margin;
  if (style.titles && !figure.title.empty()) y += out.canvas.paragraph(figure.title, {margin, y}, *width, pen.font(1.35, true), out.ink.ink) + 0.3 * em;
  if (style.titles && !figure.subtitle.empty()) y += out.canvas.paragraph(figure.subtitle, {margin, y}, *width, pen.font(), out.ink.soft) + 0.3 * em;
  if (!figure.badges.empty()) y += draw_badges(pen, figure.badges, {margin, y + 0.4 * em}, *width) + 0.8 * em;
  if (y > margin) y += 0.8 * em;
  for (const auto& [first, end, natural] : rows) {
    const auto name_of = [&](size_t i) {
      const std::string letter = figure.lettered ? part_letter(i) : "";
      return letter + (letter.empty() || figure.parts[i].title.empty() ? "" : "  ") + figure.parts[i].title;
    };
    double titles = 0, x = margin;
    for (size_t i = first; i < end; ++i) titles = std::max(titles, Canvas::paragraph_height(name_of(i), widths[i], pen.font(1, true)));
    double tallest = 0;
    for (size_t i = first; i < end; ++i) {
      const double wide = widths[i];
      if (!name_of(i).empty()) out.canvas.paragraph(name_of(i), {x, y}, wide, pen.font(1, true), out.ink.ink);
      const Point at{x, y + (titles > 0 ? titles + 0.5 * em : 0)};
      tallest = std::max(tallest, std::visit([&](const auto& panel) { return draw_panel(pen, panel, at, wide); }, figure.parts[i].panel));
      x += wide + between;
    }
    y += (titles > 0 ? titles + 0.5 * em : 0) + tallest + (end < figure.parts.size() ? 1.6 * em : 0.6 * em);
  }
  y += draw_key(pen, figure, {margin, y}, *width);
  if (!figure.note.empty()) y += out.canvas.paragraph(figure.note, {margin, y + 0.4 * em}, *width, pen.font(0.95), out.ink.ink) + 0.4 * em;
  out.size = {*width + 2 * margin, y + margin * 0.8};
  return out;
}

constexpr int kKeptDpi = 72;

ordered_json described(const Figure& figure, const FigureStyle& style, const ordered_json& metadata) {
  ordered_json out = metadata.is_object() ? metadata : ordered_json::object();
  out[kStyleKey] = style.to_json();
  out[kFigureKey] = figure.to_json();
  return out;
}

Bitmap pixels_of(const Drawing& drawn, const FigureStyle& style) {
  const double scale = style.dpi / 72.0;
  constexpr double kMostPixels = 16384;
  if (std::max(drawn.size.width, drawn.size.height) * scale > kMostPixels) {
    char size[64];
    std::snprintf(size, sizeof size, "%.0f x %.0f", drawn.size.width * scale, drawn.size.height * scale);
    reject(std::string("the figure would be of ") + size + " pixels", "figure", "Take fewer dots per inch or a smaller width, or write SVG or PDF");
  }
  return drawn.canvas.pixels(drawn.size, scale, drawn.ink.paper);
}

}  // namespace

PlotInk PlotInk::of(const FigureStyle& style) {
  return style.dark ? PlotInk{{30, 30, 34}, {236, 236, 240}, {170, 170, 180}, {66, 66, 74}}
                    : PlotInk{{255, 255, 255}, {30, 30, 36}, {100, 100, 110}, {222, 222, 228}};
}

std::string axis_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", std::abs(value) < 1e-12 ? 0.0 : value);
  return text;
}

std::vector<double> axis_ticks(double low, double high, int about, bool logarithmic) {
  // What lies too close together, or too far apart, to be counted has one number.
  constexpr double kClosest = 1e-9;
  std::vector<double> out;
  if (!std::isfinite(low) || !std::isfinite(high) || !(high - low > kClosest * std::max(std::abs(low), std::abs(high))) || !std::isfinite(high - low))
    return {low};
  if (logarithmic && low > std::numeric_limits<double>::min()) {
    // Of many decades only the powers of ten.
    const bool many = std::log10(high) - std::log10(low) > 3;
    for (int decade = static_cast<int>(std::floor(std::log10(low))); decade <= static_cast<int>(std::ceil(std::log10(high))); ++decade)
      for (const int digit : {1, 2, 5})
        if (const double value = digit * std::pow(10.0, decade); value >= low && value <= high && (!many || digit == 1)) out.push_back(value);
    if (!out.empty()) return out;
  }
  const double rough = (high - low) / std::max(1, about), power = std::pow(10.0, std::floor(std::log10(rough)));
  const double step = power * (rough / power <= 1.0001 ? 1 : rough / power <= 2.0001 ? 2 : rough / power <= 5.0001 ? 5 : 10);
  const double first = std::ceil(low / step - 1e-9);
  for (int n = 0; n <= 2 * std::max(1, about) && (first + n) * step <= high + 1e-9 * step; ++n) out.push_back((first + n) * step);
  return out.empty() ? std::vector<double>{low} : out;
}

void FigureStyle::check() const {
  const auto refuse = [](const std::string& what, const std::string& range) { reject("a figure cannot be " + what, "figure", "Take " + range); };
  if (!(width_mm == 0 || (width_mm >= 20 && width_mm <= 2000))) refuse(axis_number(width_mm) + " mm wide", "20 to 2000 mm");
  if (dpi < 36 || dpi > 1200) refuse("of " + std::to_string(dpi) + " dots per inch", "36 to 1200");
  if (!(letters >= 4 && letters <= 24)) refuse("of letters of " + axis_number(letters) + " points", "4 to 24 points");
  constexpr double kLeastInside = 10;  // em
  if (width_mm > 0 && width_mm / kPoint < (2 * kMargin + kLeastInside) * letters)
    refuse(axis_number(width_mm) + " mm wide with letters of " + axis_number(letters) + " points", "a larger width, or smaller letters");
}

ordered_json FigureStyle::to_json() const {
  return {{"width_mm", width_mm}, {"dpi", dpi}, {"dark", dark}, {"titles", titles}, {"colours", to_string(colours)}, {"letters", letters}};
}

FigureStyle FigureStyle::from_json(const ordered_json& json, const std::string& where) {
  try {
    FigureStyle out;
    out.width_mm = json.value("width_mm", out.width_mm), out.dpi = json.value("dpi", out.dpi), out.dark = json.value("dark", out.dark),
    out.titles = json.value("titles", out.titles);
    out.letters = json.value("letters", out.letters);
    if (json.contains("colours")) out.colours = colour_map_of(json["colours"].get<std::string>());
    out.check();
    return out;
  } catch (const nlohmann::json::exception& error) {
    reject("how the figure is drawn is damaged: " + json_message(error), where);
  }
}

bool is_figure_file(const fs::path& file) {
  const std::string ending = ending_of(file);
  return ending == ".png" || ending == ".svg" || ending == ".pdf";
}

Bitmap draw(const Figure& figure, const FigureStyle& style) { return pixels_of(draw_all(figure, style), style); }

std::string figure_bytes(const Figure& figure, const FigureStyle& style, const std::string& ending, const ordered_json& metadata) {
  const Drawing drawn = draw_all(figure, style);
  if (ending == ".svg") return drawn.canvas.svg(drawn.size, drawn.ink.paper, figure.title, metadata.is_null() ? "" : json_text(metadata));
  if (ending == ".pdf") return drawn.canvas.pdf(drawn.size, drawn.ink.paper, figure.title, metadata.is_null() ? "" : json_text(metadata));
  if (ending != ".png") reject("a figure cannot be written as '" + ending + "'", "figure", "Name a file that ends in .png, .svg or .pdf");
  return png_bytes(pixels_of(drawn, style), described(figure, style, metadata), style.dpi);
}

std::string kept_figure(const Figure& figure, const FigureStyle& style) {
  return png_bytes(kept_look(figure, style), described(figure, style, nullptr), kKeptDpi);
}

Bitmap kept_look(const Figure& figure, const FigureStyle& style) {
  FigureStyle small = style;
  small.dpi = kKeptDpi;
  const Drawing drawn = draw_all(figure, small);
  // Of one that has no end only the description counts.
  const auto pixels = attempt([&] { return pixels_of(drawn, small); });
  return pixels ? *pixels : Bitmap{1, 1, {255, 255, 255}};
}

void write_figure(const Figure& figure, const FigureStyle& style, const fs::path& file, const ordered_json& metadata) {
  if (!is_figure_file(file)) reject("a figure cannot be written under this name", file.string(), "Name a file that ends in .png, .svg or .pdf");
  write_text(file, figure_bytes(figure, style, ending_of(file), metadata));
}

fs::path save_figure(const Figure& figure, const FigureStyle& style, const fs::path& file, const ordered_json& metadata) {
  const fs::path beside = file.string() + ".csv";
  std::error_code error;
  const bool there = fs::exists(beside, error);
  if (there && !read_text(beside).starts_with(kTableHead))
    reject("the figure's values would be written over another table", beside.string(), "Name another file, or move the table");
  write_figure(figure, style, file, metadata);
  const std::string table = figure.csv();
  if (!table.empty())
    write_text(beside, table);
  else if (there)
    fs::remove(beside, error);  // of the figure that was there before
  return table.empty() ? fs::path() : beside;
}

DrawnFigure figure_of(const std::string& bytes, const fs::path& where) {
  const bool png = bytes.starts_with("\x89PNG");
  const std::string text = png ? png_metadata_of(bytes, where) : bytes;
  const ordered_json json = ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded() || !json.is_object())
    reject(png ? "this picture is no figure of Glyphscope's" : "this is neither a PNG nor a figure's JSON", where.string());
  if (!png) return {Figure::from_json(json, where.string()), {}};
  if (!json.contains(kFigureKey)) reject("this picture does not hold the description of a figure", where.string(), "Figures that Glyphscope wrote as PNG do");
  return {Figure::from_json(json[kFigureKey], where.string()),
          json.contains(kStyleKey) ? FigureStyle::from_json(json[kStyleKey], where.string()) : FigureStyle{}};
}

DrawnFigure read_figure(const fs::path& file) { return figure_of(read_text(file), file); }

bool holds_figure(const fs::path& file) {
  const auto found = attempt([&] { return shallow_json(read_png_metadata(file)).contains(kFigureKey); });
  return found && *found;
}

}  // namespace glyphscope
