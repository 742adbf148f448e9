#include "plot/figure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

#include "io/files.h"
#include "io/image_file.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {
using ::testing::AllOf;
using testing::failure_of;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::TemporaryFolder;

class Any {
 public:
  explicit Any(unsigned seed) : generator_(seed) {}
  int below(int end) { return static_cast<int>(generator_() % static_cast<unsigned>(end)); }
  double value() { return below(1001) / 1000.0; }
  bool one_in(int count) { return below(count) == 0; }
  std::string text() {
    constexpr const char* kTexts[] = {"",
                                      "site",
                                      "A, all but 3, 4 see B",
                                      "up_blocks.1.attentions.0.transformer_blocks.9.attn2",
                                      "Größe",
                                      "\u4e2d\u6587 \u0645\u0631\u062d\u0628\u0627",
                                      "0",
                                      "a < b & \"c\", d"};
    return kTexts[below(static_cast<int>(std::size(kTexts)))];
  }
  std::optional<PlotValue> plot_value() {
    if (one_in(6)) return std::nullopt;
    PlotValue out{value(), {}, {}};
    if (one_in(2)) out.low = out.mean * value(), out.high = out.mean + value();
    return out;
  }
  Bitmap bitmap() {
    Bitmap out{1 + below(40), 1 + below(40), {}};
    for (int i = 0; i < out.width * out.height * 3; ++i) out.rgb.push_back(static_cast<std::uint8_t>(below(256)));
    return out;
  }
  HeatPanel heat() {
    HeatPanel out;
    const int rows = below(6), columns = 1 + below(80);
    out.row_axis = text(), out.column_axis = text();
    for (int column = 0; column < columns; ++column) out.columns.push_back(one_in(2) ? std::to_string(column) : text());
    for (int row = 0; row < rows; ++row) {
      out.rows.push_back(text());
      out.values.emplace_back();
      for (int column = 0; column < columns; ++column) out.values.back().push_back(plot_value());
      if (one_in(2)) out.thresholds[row] = value();
    }
    out.columns_apart = std::min(columns - 1, below(3)), out.rows_apart = std::min(rows, below(3)), out.apart = text();
    for (int first = 0; first < columns - out.columns_apart; first += 1 + below(20)) out.groups.emplace_back(first, text());
    for (int i = 0; i < 3; ++i) out.marked.insert(below(columns));
    if (one_in(3)) out.colours = ColourMap::difference, out.low = -1;
    return out;
  }
  LinePanel lines() {
    LinePanel out{text(), text(), {}, one_in(2), {}};
    for (int i = below(5); i > 0; --i) {
      out.lines.push_back({text(), {}, one_in(2)});
      for (int step = 0; step < below(30); ++step) out.lines.back().points.emplace_back(step * 50, value() * (one_in(9) ? -1 : 1));
    }
    if (one_in(2)) out.y_range.emplace(0.001, 1);
    return out;
  }
  IntervalPanel intervals() {
    IntervalPanel out;
    for (int row = below(9); row > 0; --row) out.rows.push_back({text(), one_in(3)});
    for (int column = 1 + below(8); column > 0; --column) {
      out.columns.push_back({text(), -value(), value() + 0.1, {}, {}});
      for (size_t row = 0; row < out.rows.size(); ++row) out.columns.back().values.push_back(plot_value());
      if (one_in(2)) out.columns.back().reference = 0;
    }
    out.numbers = one_in(2);
    return out;
  }
  PicturePanel pictures() {
    PicturePanel out;
    for (int row = below(4); row > 0; --row) {
      out.rows.emplace_back();
      for (int one = below(5); one > 0; --one) out.rows.back().push_back({one_in(8) ? Bitmap{} : bitmap(), text()});
      if (one_in(2)) out.row_names.push_back(text());
    }
    return out;
  }
  MapPanel map() {
    MapPanel out{10, 8, 0, 1, {}, {}, {}};
    for (int i = 0; i < 12; ++i) out.cells.push_back({static_cast<double>(i % 4) * 2.5, i / 4 * 2.0, 2.2, 1.5, text(), plot_value(), one_in(4), one_in(4)});
    out.labels.push_back({0, 7, 10, 1, text()});
    return out;
  }
  Figure figure() {
    Figure out{text(), text(), {}, {}, 1 + below(3), one_in(2), text()};
    for (int i = below(3); i > 0; --i) out.badges.push_back({text(), one_in(2)});
    for (int i = below(4); i > 0; --i) {
      switch (below(5)) {
        case 0:
          out.parts.push_back({text(), heat()});
          break;
        case 1:
          out.parts.push_back({text(), lines()});
          break;
        case 2:
          out.parts.push_back({text(), intervals()});
          break;
        case 3:
          out.parts.push_back({text(), pictures()});
          break;
        default:
          out.parts.push_back({text(), map()});
      }
    }
    return out;
  }

 private:
  std::mt19937 generator_;
};

Figure small_heatmap() {
  HeatPanel panel;
  panel.rows = {"reads as B", "reads as A"};
  panel.columns = {"0", "1", "2"};
  panel.values = {{PlotValue{0.1, 0.05, 0.2}, PlotValue{0.9, 0.4, 1.0}, std::nullopt}, {PlotValue{0.8, {}, {}}, PlotValue{0, {}, {}}, PlotValue{0.5, {}, {}}}};
  panel.thresholds = {{0, 0.5}};
  return {.title = "Which site?", .parts = {{"", panel}}, .note = "Site 1."};
}

// Whether all that is drawn keeps from the edges of the paper.
bool has_clear_edges(const Bitmap& picture, int edge) {
  const auto at = [&](int x, int y, int c) { return picture.rgb[static_cast<size_t>((y * picture.width + x) * 3 + c)]; };
  for (int y = 0; y < picture.height; ++y)
    for (int x = 0; x < picture.width; ++x) {
      if (x >= edge && y >= edge && x < picture.width - edge && y < picture.height - edge) continue;
      for (int c = 0; c < 3; ++c)
        if (at(x, y, c) != at(0, 0, c)) return false;
    }
  return true;
}

// Whatever it holds and however narrow it is, nothing runs over the edge, and its description gives it back.
TEST(Figures, OfAnyContentStayOnTheirPaperAndComeBackFromTheirDescription) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    Any any(seed);
    const Figure figure = any.figure();
    const auto json = figure.to_json();
    const Figure again = Figure::from_json(json, "test");
    EXPECT_TRUE(again.to_json() == json) << seed;
    for (const double width : {0.0, 85.0, 180.0}) {
      const FigureStyle style{.width_mm = width, .dpi = 72, .dark = any.one_in(2), .titles = any.one_in(2)};
      const Bitmap drawn = draw(figure, style);
      EXPECT_TRUE(has_clear_edges(drawn, 4)) << seed << ", " << width << " mm";
      EXPECT_TRUE(draw(again, style).rgb == drawn.rgb) << seed;
    }
  }
}

TEST(Figures, AreAsWideAsIsAskedFor) {
  TemporaryFolder folder;
  const FigureStyle style{.width_mm = 85, .dpi = 300};
  const Bitmap drawn = draw(small_heatmap(), style);
  EXPECT_NEAR(drawn.width, 85 / 25.4 * 300, 1);
  const std::string png = figure_bytes(small_heatmap(), style, ".png", nullptr), svg = figure_bytes(small_heatmap(), style, ".svg", nullptr),
                    pdf = figure_bytes(small_heatmap(), style, ".pdf", nullptr);
  EXPECT_THAT(png, HasSubstr(std::string("pHYs\0\0\x2e\x23", 8)));  // 11811 dots a metre
  EXPECT_THAT(svg, HasSubstr("width=\"240.9"));                     // points
  EXPECT_THAT(pdf, AllOf(HasSubstr("MediaBox [ 0 0 240.9"), HasSubstr("/FontFile")));
}

TEST(Figures, ShowEachValueInItsColour) {
  Figure figure = small_heatmap();
  for (const ColourMap colours : {ColourMap::viridis, ColourMap::cividis, ColourMap::grey}) {
    const Bitmap drawn = draw(figure, {.dpi = 144, .colours = colours});
    for (const double value : {0.1, 0.9, 0.8, 0.0, 0.5}) {
      const Colour colour = colour_of(colours, value);
      int pixels = 0;
      for (size_t i = 0; i < drawn.rgb.size(); i += 3)
        pixels += std::abs(drawn.rgb[i] - colour[0]) <= 1 && std::abs(drawn.rgb[i + 1] - colour[1]) <= 1 && std::abs(drawn.rgb[i + 2] - colour[2]) <= 1;
      EXPECT_GT(pixels, 500) << to_string(colours) << " " << value;
    }
  }
}

TEST(Figures, AreDrawnAgainFromTheirPng) {
  TemporaryFolder folder;
  const Figure figure = small_heatmap();
  save_figure(figure, {}, folder / "map.png", {{"model", "demo"}});
  const Figure again = read_figure(folder / "map.png").figure;
  EXPECT_TRUE(again.to_json() == figure.to_json());
  const FigureStyle narrow{.width_mm = 60, .dark = true, .titles = false, .colours = ColourMap::magma};
  write_figure(figure, narrow, folder / "narrow.png", nullptr);
  EXPECT_TRUE(read_figure(folder / "narrow.png").style.to_json() == narrow.to_json());
  EXPECT_TRUE(holds_figure(folder / "narrow.png"));
  EXPECT_FALSE(holds_figure(testing::golden("png_texts/text.png")) || holds_figure(folder / "map.png.csv") || holds_figure(folder / "nowhere.png"));
  EXPECT_TRUE(draw(again, narrow).rgb == draw(figure, narrow).rgb);
  EXPECT_THAT(read_png_metadata(folder / "map.png"), HasSubstr("\"model\":\"demo\""));
  EXPECT_EQ(
      read_text(folder / "map.png.csv"),
      "part,row,column,mean,low,high\n,reads as B,0,0.1,0.05,0.2\n,reads as B,1,0.9,0.4,1\n,reads as A,0,0.8,,\n,reads as A,1,0,,\n,reads as A,2,0.5,,\n");
  write_text(folder / "figure.json", figure.to_json().dump());
  EXPECT_TRUE(read_figure(folder / "figure.json").figure.to_json() == figure.to_json());
}

TEST(Figures, SayInAnSvgWhatMadeThem) {
  const std::string svg = figure_bytes(small_heatmap(), {}, ".svg", {{"prompt", "a <b> & \"c\""}});
  EXPECT_THAT(svg, AllOf(HasSubstr("<title>Which site?</title>"), HasSubstr("a &lt;b&gt; &amp;"), Not(HasSubstr("<b>"))));
}

TEST(Figures, RefuseWhatTheyCannotBe) {
  TemporaryFolder folder;
  const Figure figure = small_heatmap();
  EXPECT_THAT(failure_of([&] { draw(figure, {.width_mm = 3}); }), AllOf(HasSubstr("3 mm"), HasSubstr("20 to 2000")));
  EXPECT_THAT(failure_of([&] { draw(figure, {.dpi = 5}); }), HasSubstr("36 to 1200"));
  EXPECT_THAT(failure_of([&] { draw(figure, {.letters = 90}); }), HasSubstr("4 to 24"));
  EXPECT_THAT(failure_of([&] { draw(figure, {.width_mm = 1900, .dpi = 1200}); }), HasSubstr("fewer dots per inch"));
  EXPECT_THAT(failure_of([&] { save_figure(figure, {}, folder / "map.gif", nullptr); }), AllOf(HasSubstr("map.gif"), HasSubstr(".pdf")));
  EXPECT_THAT(failure_of([&] { save_figure(figure, {}, folder / "nowhere/map.png", nullptr); }), HasSubstr("nowhere"));
}

TEST(Figures, SayWhatIsWrongWithADescription) {
  TemporaryFolder folder;
  const auto whole = small_heatmap().to_json();
  const auto refusal = [&](const std::string& pointer, const nlohmann::ordered_json& value) {
    auto changed = whole;
    changed[nlohmann::ordered_json::json_pointer(pointer)] = value;
    return failure_of([&] { Figure::from_json(changed, "f.json"); });
  };
  EXPECT_THAT(refusal("/schema", "glyphscope.figure/9"), AllOf(HasSubstr("f.json"), HasSubstr("this version")));
  EXPECT_THAT(refusal("/parts/0/panel/kind", "globe"), AllOf(HasSubstr("globe"), HasSubstr("newer")));
  EXPECT_THAT(refusal("/parts/0/panel/columns", {"0"}), HasSubstr("rows and columns"));
  EXPECT_THAT(refusal("/parts/0/panel/columns_apart", 9), HasSubstr("rows and columns"));
  EXPECT_THAT(refusal("/parts/0/panel/groups", {{7, "x"}}), HasSubstr("rows and columns"));
  EXPECT_THAT(refusal("/parts/0/panel/thresholds", {{7, 0.5}}), HasSubstr("rows and columns"));
  EXPECT_THAT(refusal("/parts/0/panel/colours", "jet"), HasSubstr("jet"));
  EXPECT_THAT(refusal("/parts/0/panel/values/0/0", "much"), HasSubstr("damaged"));
  EXPECT_THAT(refusal("/title", 7), AllOf(HasSubstr("damaged"), HasSubstr("f.json")));
  write_text(folder / "a.json", "{\"schema\":");
  EXPECT_THAT(failure_of([&] { read_figure(folder / "a.json"); }), HasSubstr("neither a PNG nor"));
  write_text(folder / "b.png", png_bytes(draw(small_heatmap())));
  EXPECT_THAT(failure_of([&] { read_figure(folder / "b.png"); }), HasSubstr("no figure"));
}

// What a stranger's file may say: it is drawn, or refused by a sentence, in no time.
TEST(Figures, OfNonsenseAreRefusedOrDrawn) {
  TemporaryFolder folder;
  const auto drawn = [](LinePanel panel) { return draw({.parts = {{"", std::move(panel)}}}, {.dpi = 72}).width; };
  EXPECT_GT(drawn({"x", "y", {{"", {{1e17, 0}, {std::nextafter(1e17, 2e17), 1}}, false}}, false, {}}), 10);
  EXPECT_GT(drawn({"x", "y", {{"", {{0, 1e-320}, {1, 1}}, false}}, true, {}}), 10);
  EXPECT_GT(drawn({"x", "y", {{"", {{0, -1e308}, {1, 1e308}, {2, 5}, {3, 6}}, true}}, false, {}}), 10);
  IntervalPanel narrow;
  narrow.rows = {{"a", false}};
  narrow.columns = {{"", 1, std::nextafter(1.0, 2.0), {PlotValue{1, {}, {}}}, {}}};
  EXPECT_GT(draw({.parts = {{"", narrow}}}, {.dpi = 72}).width, 10);
  // A long name is cut in no time.
  HeatPanel named;
  named.rows = {std::string(200'000, 'm')};
  named.columns = {"0"};
  named.values = {{PlotValue{0.5, {}, {}}}};
  EXPECT_TRUE(has_clear_edges(draw({.parts = {{"", named}}}, {.width_mm = 85, .dpi = 72}), 4));

  MapPanel map{1, 1, 0, 1, {}, {{0, 0, 1e9, 1, "", PlotValue{1, {}, {}}, false, true}}, {}};
  const auto refusal = [](const Figure& figure) { return failure_of([&] { Figure::from_json(figure.to_json(), "f.json"); }); };
  EXPECT_THAT(refusal({.parts = {{"", map}}}), AllOf(HasSubstr("outside"), HasSubstr("f.json")));
  map.cells.clear();
  map.width = -1;
  EXPECT_THAT(refusal({.parts = {{"", map}}}), HasSubstr("no size"));
  write_text(folder / "deep.json", R"({"schema":"glyphscope.figure/1","title":)" + std::string(100'000, '[') + std::string(100'000, ']') + "}");
  EXPECT_THAT(failure_of([&] { read_figure(folder / "deep.json"); }), HasSubstr("deep.json"));
  EXPECT_THAT(failure_of([] { draw(small_heatmap(), {.width_mm = 20, .letters = 24}); }), HasSubstr("smaller letters"));
  // Many pictures on a narrow page: in more rows.
  PicturePanel many;
  many.rows = {std::vector<PicturePanel::Picture>(12, {Bitmap{2, 2, std::vector<std::uint8_t>(12, 90)}, "x"})};
  const Bitmap wide = draw({.parts = {{"", many}}}, {.width_mm = 200, .dpi = 72}), slim = draw({.parts = {{"", many}}}, {.width_mm = 50, .dpi = 72});
  EXPECT_GT(slim.height, wide.height);
  EXPECT_TRUE(has_clear_edges(slim, 4));
}

TEST(Figures, WriteNoTableOverAnother) {
  TemporaryFolder folder;
  write_text(folder / "map.png.csv", "my,own,numbers\n1,2,3\n");
  EXPECT_THAT(failure_of([&] { save_figure(small_heatmap(), {}, folder / "map.png", nullptr); }), AllOf(HasSubstr("another table"), HasSubstr("map.png.csv")));
  EXPECT_EQ(read_text(folder / "map.png.csv"), "my,own,numbers\n1,2,3\n");
  EXPECT_FALSE(std::filesystem::exists(folder / "map.png"));
  EXPECT_EQ(save_figure(small_heatmap(), {}, folder / "two.png", nullptr), folder / "two.png.csv");
  EXPECT_EQ(save_figure(Figure{}, {}, folder / "two.png", nullptr), "");
  EXPECT_FALSE(std::filesystem::exists(folder / "two.png.csv"));  // it was the other figure's
}

// However large it is printed, a session keeps it.
TEST(Figures, AreKeptInASessionAtAnySize) {
  const FigureStyle style{.width_mm = 1900, .dpi = 1200, .dark = true};
  const auto [figure, kept] = figure_of(kept_figure(small_heatmap(), style), "figure.png");
  EXPECT_TRUE(figure.to_json() == small_heatmap().to_json());
  EXPECT_TRUE(kept.to_json() == style.to_json());
  EXPECT_TRUE(to_bitmap(image_of(kept_figure(small_heatmap(), style), "figure.png")).rgb == kept_look(figure, kept).rgb);
}

TEST(PngText, OfLatinLettersIsUtf8) {
  TemporaryFolder folder;
  // A tEXt chunk as the PNG specification has it, before the end of a picture without one.
  std::string whole = png_bytes(Bitmap{1, 1, {1, 2, 3}});
  const std::string body = std::string(
      "tEXtglyphscope\0Gr\xFC\xDF"
      "e",
      20);
  std::uint32_t sum = ~0u;
  for (const char c : body) {
    sum ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) sum = sum & 1 ? sum >> 1 ^ 0xEDB88320u : sum >> 1;
  }
  const auto big_endian = [](std::uint32_t value) {
    return std::string{static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8), static_cast<char>(value)};
  };
  whole.insert(whole.size() - 12, big_endian(static_cast<std::uint32_t>(body.size() - 4)) + body + big_endian(~sum));
  write_text(folder / "latin.png", whole);
  EXPECT_EQ(read_png_metadata(folder / "latin.png"), "Gr\u00FC\u00DFe");
}

TEST(PngText, IsReadFromEveryKindOfChunk) {
  for (const std::string name : {"text", "ztxt", "itxt", "itxt_zipped", "after"}) {
    const std::string text = read_png_metadata(testing::golden("png_texts/" + name + ".png"));
    EXPECT_EQ(nlohmann::json::parse(text, nullptr, false).value("seed", 0), 7) << name << ": " << text;
  }
  EXPECT_EQ(read_png_metadata(testing::golden("png_texts/other.png")), "");
}

TEST(PngText, OfADamagedFileIsRefused) {
  TemporaryFolder folder;
  const std::string whole = png_bytes(Bitmap{3, 2, std::vector<std::uint8_t>(18, 200)}, {{"a", 1}});
  for (size_t length = 0; length < whole.size() - 12; ++length) {
    write_text(folder / "cut.png", whole.substr(0, length));
    const std::string refusal = failure_of([&] { EXPECT_EQ(read_png_metadata(folder / "cut.png"), "{\"a\":1}"); });
    // Once the text has been read, what follows is not looked at.
    if (!refusal.empty()) EXPECT_THAT(refusal, HasSubstr("cut.png")) << length;
  }
  EXPECT_TRUE(to_bitmap(image_of(whole, "x")).rgb == std::vector<std::uint8_t>(18, 200));
}

}  // namespace
}  // namespace glyphscope
