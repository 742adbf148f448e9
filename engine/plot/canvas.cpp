#include "plot/canvas.h"

#include <cairo/cairo-pdf.h>
#include <cairo/cairo-svg.h>
#include <fontconfig/fontconfig.h>
#include <pango/pangocairo.h>
#include <pango/pangofc-fontmap.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <memory>
#include <mutex>
#include <numbers>

#include "core/error.h"

namespace glyphscope {

namespace {

struct Ended {
  void operator()(cairo_t* it) const { cairo_destroy(it); }
  void operator()(cairo_surface_t* it) const { cairo_surface_destroy(it); }
  void operator()(PangoLayout* it) const { g_object_unref(it); }
  void operator()(PangoFontDescription* it) const { pango_font_description_free(it); }
  void operator()(cairo_font_options_t* it) const { cairo_font_options_destroy(it); }
};
template <class T>
using Owned = std::unique_ptr<T, Ended>;

void check(cairo_status_t status) {
  if (status == CAIRO_STATUS_NO_MEMORY)
    throw Failure({ErrorCode::out_of_memory, "not enough memory for the figure", "", "Make it smaller, or of fewer dots per inch"});
  if (status != CAIRO_STATUS_SUCCESS) reject(std::string("the figure cannot be drawn: ") + cairo_status_to_string(status));
}

// The description by which fontconfig finds a file's letters.
std::string described(const std::filesystem::path& file) {
  static std::mutex one_at_a_time;
  static std::map<std::filesystem::path, std::string> known;
  const std::lock_guard guard(one_at_a_time);
  if (const auto found = known.find(file); found != known.end()) return found->second;
  const auto* name = reinterpret_cast<const FcChar8*>(file.c_str());
  int faces = 0;
  FcPattern* pattern = FcFreeTypeQuery(name, 0, nullptr, &faces);
  if (!pattern || !FcConfigAppFontAddFile(nullptr, name)) reject("these letters cannot be read", file.string());
  const Owned<PangoFontDescription> description(pango_fc_font_description_from_pattern(pattern, /*include_size=*/FALSE));
  FcPatternDestroy(pattern);
  char* text = pango_font_description_to_string(description.get());
  known[file] = text;
  g_free(text);
  return known[file];
}

// On a cairo context, or to measure.
Owned<PangoLayout> layout_of(cairo_t* cairo, const std::string& text, const Canvas::Font& font) {
  Owned<PangoLayout> layout(pango_cairo_create_layout(cairo));
  // Letters have the same shapes and places at every scale: the grid of pixels does not pull at them.
  const Owned<cairo_font_options_t> options(cairo_font_options_create());
  cairo_font_options_set_hint_style(options.get(), CAIRO_HINT_STYLE_NONE);
  cairo_font_options_set_hint_metrics(options.get(), CAIRO_HINT_METRICS_OFF);
  cairo_font_options_set_antialias(options.get(), CAIRO_ANTIALIAS_GRAY);
  PangoContext* context = pango_layout_get_context(layout.get());
  pango_cairo_context_set_font_options(context, options.get());
  pango_cairo_context_set_resolution(context, 72);  // a point is a unit
  pango_context_set_round_glyph_positions(context, FALSE);
  const Owned<PangoFontDescription> description(pango_font_description_from_string(font.file.empty() ? "DejaVu Sans" : described(font.file).c_str()));
  pango_font_description_set_absolute_size(description.get(), font.size * PANGO_SCALE);
  if (font.bold) pango_font_description_set_weight(description.get(), PANGO_WEIGHT_BOLD);
  pango_layout_set_font_description(layout.get(), description.get());
  // Pango takes UTF-8 alone: of bytes that are none, each becomes U+FFFD.
  char* valid = g_utf8_make_valid(text.data(), static_cast<gssize>(text.size()));
  pango_layout_set_text(layout.get(), valid, -1);
  g_free(valid);
  return layout;
}

cairo_t* measure() {
  struct Scratch {
    Owned<cairo_surface_t> surface{cairo_image_surface_create(CAIRO_FORMAT_ARGB32, 1, 1)};
    Owned<cairo_t> cairo{cairo_create(surface.get())};
  };
  thread_local const Scratch scratch;
  return scratch.cairo.get();
}

double width_of(PangoLayout* layout) {
  int width = 0;
  pango_layout_get_size(layout, &width, nullptr);
  return static_cast<double>(width) / PANGO_SCALE;
}

void set_colour(cairo_t* cairo, const Colour& colour) { cairo_set_source_rgb(cairo, colour[0] / 255.0, colour[1] / 255.0, colour[2] / 255.0); }

PangoAlignment aligned_as(Canvas::Align align) {
  return align == Canvas::Align::left ? PANGO_ALIGN_LEFT : align == Canvas::Align::right ? PANGO_ALIGN_RIGHT : PANGO_ALIGN_CENTER;
}

Owned<PangoLayout> broken(cairo_t* cairo, const std::string& text, double width, const Canvas::Font& font) {
  auto layout = layout_of(cairo, text, font);
  pango_layout_set_width(layout.get(), static_cast<int>(width * PANGO_SCALE));
  pango_layout_set_wrap(layout.get(), PANGO_WRAP_WORD_CHAR);
  // A path or a number that is broken has no hyphen of its own.
  PangoAttrList* attributes = pango_attr_list_new();
  pango_attr_list_insert(attributes, pango_attr_insert_hyphens_new(FALSE));
  pango_layout_set_attributes(layout.get(), attributes);
  pango_attr_list_unref(attributes);
  return layout;
}

cairo_status_t append(void* out, const unsigned char* bytes, unsigned length) {
  static_cast<std::string*>(out)->append(reinterpret_cast<const char*>(bytes), length);
  return CAIRO_STATUS_SUCCESS;
}

std::string as_xml(const std::string& text) {
  char* escaped = g_markup_escape_text(text.data(), static_cast<gssize>(text.size()));
  std::string out = escaped;
  g_free(escaped);
  return out;
}

}  // namespace

void Canvas::fill(const Rectangle& where, const Colour& colour) {
  drawn_.emplace_back([where, colour](cairo_t* cairo) {
    set_colour(cairo, colour);
    cairo_rectangle(cairo, where.left, where.top, where.width, where.height);
    cairo_fill(cairo);
  });
}

void Canvas::outline(const Rectangle& where, const Colour& colour, double width) {
  drawn_.emplace_back([where, colour, width](cairo_t* cairo) {
    set_colour(cairo, colour);
    cairo_set_line_width(cairo, width);
    cairo_rectangle(cairo, where.left, where.top, where.width, where.height);
    cairo_stroke(cairo);
  });
}

void Canvas::hatch(const Rectangle& where, const Colour& colour) {
  drawn_.emplace_back([where, colour](cairo_t* cairo) {
    constexpr double kApart = 4, kWidth = 0.6;
    cairo_save(cairo);
    cairo_rectangle(cairo, where.left, where.top, where.width, where.height);
    cairo_clip(cairo);
    set_colour(cairo, colour);
    cairo_set_line_width(cairo, kWidth);
    for (double at = kApart; at < where.width + where.height; at += kApart) {
      cairo_move_to(cairo, where.left, where.top + at);
      cairo_line_to(cairo, where.left + at, where.top);
    }
    cairo_stroke(cairo);
    cairo_restore(cairo);
  });
}

void Canvas::line(const std::vector<Point>& points, const Colour& colour, double width, const std::vector<double>& dashes) {
  if (points.empty()) return;
  drawn_.emplace_back([points, colour, width, dashes](cairo_t* cairo) {
    cairo_save(cairo);
    set_colour(cairo, colour);
    cairo_set_line_width(cairo, width);
    cairo_set_line_join(cairo, CAIRO_LINE_JOIN_ROUND);
    cairo_set_dash(cairo, dashes.data(), static_cast<int>(dashes.size()), 0);
    cairo_move_to(cairo, points[0].x, points[0].y);
    for (const Point& point : points) cairo_line_to(cairo, point.x, point.y);
    cairo_stroke(cairo);
    cairo_restore(cairo);
  });
}

void Canvas::mark(const Point& centre, Mark mark, double size, const Colour& colour) {
  drawn_.emplace_back([centre, mark, size, colour](cairo_t* cairo) {
    set_colour(cairo, colour);
    const double half = size / 2;
    const auto polygon = [&](std::initializer_list<Point> corners) {
      for (const Point& corner : corners) cairo_line_to(cairo, centre.x + corner.x, centre.y + corner.y);
      cairo_close_path(cairo);
    };
    cairo_new_path(cairo);
    switch (mark) {
      case Mark::disc:
        cairo_arc(cairo, centre.x, centre.y, half, 0, 2 * std::numbers::pi);
        break;
      case Mark::square:
        polygon({{-half, -half}, {half, -half}, {half, half}, {-half, half}});
        break;
      case Mark::diamond:
        polygon({{0, -half}, {half, 0}, {0, half}, {-half, 0}});
        break;
      case Mark::triangle:
        polygon({{0, -half}, {half, half}, {-half, half}});
        break;
    }
    cairo_fill(cairo);
  });
}

void Canvas::image(const Bitmap& image, const Rectangle& where, bool smooth) {
  if (image.width <= 0 || image.height <= 0) return;
  // cairo's pixels: 32 bits each, as this machine orders them.
  auto pixels = std::make_shared<std::vector<std::uint32_t>>(static_cast<size_t>(image.width) * static_cast<size_t>(image.height));
  for (size_t i = 0; i < pixels->size(); ++i)
    (*pixels)[i] = static_cast<std::uint32_t>(image.rgb.at(3 * i)) << 16 | static_cast<std::uint32_t>(image.rgb.at(3 * i + 1)) << 8 | image.rgb.at(3 * i + 2);
  drawn_.emplace_back([pixels, width = image.width, height = image.height, where, smooth](cairo_t* cairo) {
    const Owned<cairo_surface_t> surface(
        cairo_image_surface_create_for_data(reinterpret_cast<unsigned char*>(pixels->data()), CAIRO_FORMAT_RGB24, width, height, 4 * width));
    check(cairo_surface_status(surface.get()));
    cairo_save(cairo);
    cairo_translate(cairo, where.left, where.top);
    cairo_scale(cairo, where.width / width, where.height / height);
    cairo_set_source_surface(cairo, surface.get(), 0, 0);
    cairo_pattern_set_filter(cairo_get_source(cairo), smooth ? CAIRO_FILTER_GOOD : CAIRO_FILTER_NEAREST);
    cairo_pattern_set_extend(cairo_get_source(cairo), CAIRO_EXTEND_PAD);  // or its edges would fade into the paper
    cairo_rectangle(cairo, 0, 0, width, height);
    cairo_fill(cairo);
    cairo_restore(cairo);
    cairo_surface_finish(surface.get());  // a vector file copies the pixels now
  });
}

void Canvas::text(const std::string& text, const Point& baseline, const Font& font, const Colour& colour, Align align, bool upwards) {
  drawn_.emplace_back([=](cairo_t* cairo) {
    cairo_save(cairo);
    cairo_translate(cairo, baseline.x, baseline.y);
    if (upwards) cairo_rotate(cairo, -std::numbers::pi / 2);
    const auto layout = layout_of(cairo, text, font);
    const double shift = align == Align::left ? 0 : align == Align::right ? width_of(layout.get()) : width_of(layout.get()) / 2;
    cairo_move_to(cairo, -shift, 0);
    set_colour(cairo, colour);
    pango_cairo_show_layout_line(cairo, pango_layout_get_line_readonly(layout.get(), 0));
    cairo_restore(cairo);
  });
}

double Canvas::paragraph(const std::string& text, const Point& top_left, double width, const Font& font, const Colour& colour, Align align) {
  drawn_.emplace_back([=](cairo_t* cairo) {
    const auto layout = broken(cairo, text, width, font);
    pango_layout_set_alignment(layout.get(), aligned_as(align));
    cairo_move_to(cairo, top_left.x, top_left.y);
    set_colour(cairo, colour);
    pango_cairo_show_layout(cairo, layout.get());
  });
  return paragraph_height(text, width, font);
}

double Canvas::text_width(const std::string& text, const Font& font) { return width_of(layout_of(measure(), text, font).get()); }

std::string Canvas::shortened(const std::string& whole, const Font& font, double width) {
  constexpr size_t kLongest = 4096;  // bytes: more than fits anywhere
  std::string text = whole.substr(0, kLongest);
  if (text_width(text, font) <= width) return text;
  const char* const ellipsis = "\u2026";
  char* valid = g_utf8_make_valid(text.data(), static_cast<gssize>(text.size()));
  std::string out = valid;
  g_free(valid);
  // The longest beginning that fits: by halves, as a stranger's name may be long.
  std::vector<size_t> ends{0};
  for (const char* at = out.c_str(); *at != '\0'; at = g_utf8_next_char(at)) ends.push_back(static_cast<size_t>(g_utf8_next_char(at) - out.c_str()));
  const auto too_long =
      std::partition_point(ends.begin() + 1, ends.end(), [&](size_t end) { return text_width(out.substr(0, end) + ellipsis, font) <= width; });
  out.resize(*(too_long - 1));
  return out + ellipsis;
}

double Canvas::paragraph_height(const std::string& text, double width, const Font& font) {
  if (text.empty()) return 0;
  int height = 0;
  pango_layout_get_size(broken(measure(), text, width, font).get(), nullptr, &height);
  return static_cast<double>(height) / PANGO_SCALE;
}

void Canvas::play(cairo_t* cairo, const Extent& size, const Colour& background) const {
  check(cairo_status(cairo));
  set_colour(cairo, background);
  cairo_rectangle(cairo, 0, 0, size.width, size.height);
  cairo_fill(cairo);
  for (const auto& one : drawn_) one(cairo);
  check(cairo_status(cairo));
}

Bitmap Canvas::pixels(const Extent& size, double scale, const Colour& background) const {
  Bitmap out{std::max(1, static_cast<int>(std::lround(size.width * scale))), std::max(1, static_cast<int>(std::lround(size.height * scale))), {}};
  const Owned<cairo_surface_t> surface(cairo_image_surface_create(CAIRO_FORMAT_RGB24, out.width, out.height));
  check(cairo_surface_status(surface.get()));
  const Owned<cairo_t> cairo(cairo_create(surface.get()));
  cairo_scale(cairo.get(), scale, scale);
  play(cairo.get(), {size.width + 1, size.height + 1}, background);  // to the edge of the last pixel
  cairo_surface_flush(surface.get());
  const unsigned char* rows = cairo_image_surface_get_data(surface.get());
  const int stride = cairo_image_surface_get_stride(surface.get());
  out.rgb.reserve(static_cast<size_t>(out.width) * static_cast<size_t>(out.height) * 3);
  for (int y = 0; y < out.height; ++y) {
    const auto* row = reinterpret_cast<const std::uint32_t*>(rows + static_cast<std::ptrdiff_t>(y) * stride);
    for (int x = 0; x < out.width; ++x)
      for (const int shift : {16, 8, 0}) out.rgb.push_back(static_cast<std::uint8_t>(row[x] >> shift & 255));
  }
  return out;
}

std::string Canvas::svg(const Extent& size, const Colour& background, const std::string& title, const std::string& metadata) const {
  std::string out;
  {
    const Owned<cairo_surface_t> surface(cairo_svg_surface_create_for_stream(append, &out, size.width, size.height));
    check(cairo_surface_status(surface.get()));
    cairo_svg_surface_restrict_to_version(surface.get(), CAIRO_SVG_VERSION_1_2);
    const Owned<cairo_t> cairo(cairo_create(surface.get()));
    play(cairo.get(), size, background);
    cairo_surface_finish(surface.get());
    check(cairo_surface_status(surface.get()));
  }
  // cairo has no place for what is said about an SVG: it follows the opening tag.
  const size_t root = out.find("<svg"), end = root == std::string::npos ? root : out.find('>', root);
  if (end == std::string::npos) reject("the figure cannot be written as SVG");
  out.insert(end + 1, "\n<title>" + as_xml(title) + "</title>" + (metadata.empty() ? "" : "\n<metadata>" + as_xml(metadata) + "</metadata>"));
  return out;
}

std::string Canvas::pdf(const Extent& size, const Colour& background, const std::string& title, const std::string& metadata) const {
  std::string out;
  const Owned<cairo_surface_t> surface(cairo_pdf_surface_create_for_stream(append, &out, size.width, size.height));
  check(cairo_surface_status(surface.get()));
  cairo_pdf_surface_set_metadata(surface.get(), CAIRO_PDF_METADATA_TITLE, title.c_str());
  cairo_pdf_surface_set_metadata(surface.get(), CAIRO_PDF_METADATA_CREATOR, "Glyphscope");
  if (!metadata.empty()) cairo_pdf_surface_set_metadata(surface.get(), CAIRO_PDF_METADATA_KEYWORDS, metadata.c_str());
  {
    const Owned<cairo_t> cairo(cairo_create(surface.get()));
    play(cairo.get(), size, background);
  }
  cairo_surface_finish(surface.get());
  check(cairo_surface_status(surface.get()));
  return out;
}

}  // namespace glyphscope
