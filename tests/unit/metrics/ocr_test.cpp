// Both engines on words drawn with other means than they were trained on: Debian's fonts, many colours and sizes.
#include "metrics/ocr.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "demo/signs.h"
#include "metrics/text_scores.h"
#include "tests/support/drawn_page.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {

// Every text font of fonts-dejavu, with sizes, colours and words in turn.
double share_read(TextReader& reader) {
  constexpr const char* kFonts[] = {"Sans",          "Sans-Bold",          "Sans-BoldOblique", "Sans-Oblique",   "Sans-ExtraLight",
                                    "SansCondensed", "SansCondensed-Bold", "SansMono",         "SansMono-Bold",  "SansMono-Oblique",
                                    "Serif",         "Serif-Bold",         "Serif-Italic",     "SerifCondensed", "SerifCondensed-BoldItalic"};
  constexpr const char* kWords[] = {"HELLO", "Museum", "OPEN", "coffee", "Station", "MARKET", "Bread", "WINDOW"};
  constexpr int kSizes[] = {24, 32, 40, 56, 72};
  struct Pair {
    Colour ink, paper;
  };
  constexpr Pair kColours[] = {{{10, 10, 10}, {250, 250, 250}}, {{250, 250, 250}, {30, 60, 160}}, {{200, 30, 30}, {240, 230, 200}},
                               {{60, 30, 10}, {230, 210, 180}}, {{255, 255, 0}, {20, 20, 20}},    {{0, 90, 30}, {255, 255, 255}},
                               {{20, 20, 60}, {240, 150, 40}}};
  size_t right = 0, count = 0;
  for (const char* font : kFonts) {
    const std::string file = std::string("/usr/share/fonts/truetype/dejavu/DejaVu") + font + ".ttf";
    EXPECT_TRUE(std::filesystem::exists(file)) << file << ": fonts-dejavu-core and fonts-dejavu-extra have it";
    for (int repeat = 0; repeat < 3; ++repeat, ++count) {
      const Pair& colours = kColours[count % std::size(kColours)];
      const char* word = kWords[count % std::size(kWords)];
      test::DrawnPage canvas(400, 160, colours.paper, file);
      canvas.text(word, 200, 100, kSizes[count % std::size(kSizes)], colours.ink, Canvas::Align::centre);
      const std::string read = joined_text(reader.read(canvas.image()));
      if (score_text(read, word).exact)
        ++right;
      else
        std::printf("  %s in %s, %d pixels: read as \"%s\"\n", word, font, kSizes[count % std::size(kSizes)], read.c_str());
    }
  }
  return static_cast<double>(right) / static_cast<double>(count);
}

TEST(PpOcr, ReadsDrawnWordsInManyFontsColoursAndSizes) { EXPECT_GE(share_read(*make_text_reader("ppocr")), 0.95); }
TEST(Tesseract, ReadsDrawnWordsInManyFontsColoursAndSizes) { EXPECT_GE(share_read(*make_text_reader("tesseract")), 0.9); }

TEST(PpOcr, ReadsSignsOfSixtyFourPixels) {
  const auto reader = make_text_reader();
  const SignRenderer renderer;
  int right = 0;
  constexpr int kSigns = 60;
  const SignSampler sampler({"BREAD", "LOVE", "TEA", "WATER", "SONG"}, {}, {}, 0);
  for (int i = 0; i < kSigns; ++i) {
    Choice choice(derive_seed(3, 0, static_cast<std::uint64_t>(i)));
    const SignSpec spec = sampler.sample(choice);
    right += score_text(joined_text(reader->read(renderer.render(spec).pixels)), spec.word).exact;
  }
  EXPECT_GE(right, kSigns * 0.9);
}

// Large pictures are made smaller to be read: who must not miss a word reads them in parts too, of which none cuts a word in two.
TEST(PpOcr, FindsSmallPrintInLargePictures) {
  const auto reader = make_text_reader();
  test::DrawnPage canvas(3200, 2400, {255, 255, 255});
  canvas.text("MARKET", 2500, 2300, 14, {0, 0, 0}, Canvas::Align::centre);
  canvas.text("STATION", 1280, 300, 40, {0, 0, 0}, Canvas::Align::centre);  // where the first part ends
  const auto pieces = reader->read_faint(canvas.image());
  EXPECT_THAT(joined_text(reader->read(canvas.image())), ::testing::Not(::testing::HasSubstr("MARKET")));  // made smaller
  const auto found = std::find_if(pieces.begin(), pieces.end(), [](const TextPiece& piece) { return piece.text == "MARKET"; });
  ASSERT_NE(found, pieces.end()) << joined_text(pieces);
  EXPECT_NEAR((found->box.left + found->box.right) / 2, 2500, 10);
  EXPECT_NEAR((found->box.top + found->box.bottom) / 2, 2295, 10);
  for (const auto& piece : pieces) EXPECT_TRUE(piece.text.size() == 6 || piece.text == "STATION") << piece.text;
}

// On its head, and turned to either side: under the guard no word may pass that way.
TEST(PpOcr, ReadsTextInAllFourDirections) {
  const auto reader = make_text_reader();
  int right = 0, count = 0;
  for (const char* word : {"HELLO", "EXIT", "Bread", "MARKET", "coffee", "open"})
    for (const int size : {28, 48}) {
      test::DrawnPage canvas(240, 240, {250, 250, 250});
      canvas.text(word, 120, 130, size, {20, 20, 20}, Canvas::Align::centre);
      for (int quarter = 0; quarter < 4; ++quarter) {
        ++count;
        const std::string read = joined_text(reader->read(torch::rot90(canvas.image(), quarter, {1, 2}).contiguous()));
        if (score_text(read, word).exact)
          ++right;
        else
          std::printf("  %s, %d pixels, %d quarters: read as \"%s\"\n", word, size, quarter, read.c_str());
      }
    }
  EXPECT_GE(right, count * 0.95);
}

TEST(PpOcr, SaysWhatItCannotBeTrustedToRead) {
  const auto reader = make_text_reader();
  EXPECT_EQ(note_on_unreadable(*reader, {"OPEN", "", "50 %", "A"}), "");
  EXPECT_THAT(note_on_unreadable(*reader, {"OPEN", "5 \u20ac", "I"}), ::testing::AllOf(::testing::HasSubstr("does not know all letters of \"5 \u20ac\""),
                                                                                       ::testing::HasSubstr("narrow letter that stands alone: \"I\"")));
  EXPECT_THAT(note_on_unreadable(*reader, {"\u20ac1", "\u20ac2", "\u20ac3", "\u20ac4", "\u20ac5", "\u20ac6", "\u20ac6"}), ::testing::HasSubstr("and 1 more"));
}

TEST(PpOcr, TellsWhereTheTextIs) {
  test::DrawnPage canvas(400, 200, {255, 255, 255});
  canvas.text("LEFT", 20, 60, 30, {0, 0, 0});
  canvas.text("RIGHT", 260, 160, 30, {0, 0, 0});
  const auto pieces = make_text_reader()->read(canvas.image());
  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_EQ(joined_text(pieces), "LEFT RIGHT");
  EXPECT_LT(pieces[0].box.right, 140);
  EXPECT_LT(pieces[0].box.bottom, 90);
  EXPECT_GT(pieces[1].box.left, 230);
  EXPECT_GT(pieces[1].box.top, 110);
  EXPECT_GT(pieces[0].confidence, 0.8);
}

TEST(PpOcr, AnEmptyPictureHasNoText) {
  for (int value : {0, 128, 255}) EXPECT_TRUE(make_text_reader()->read(torch::full({3, 64, 64}, value, torch::kUInt8)).empty());
}

TEST(Ocr, NamesWhatIsMissing) {
  EXPECT_THAT(testing::failure_of([] { make_text_reader("easyocr"); }), ::testing::HasSubstr("unknown OCR engine 'easyocr'"));
  ::setenv("GLYPHSCOPE_OCR_MODELS", "/nowhere", 1);
  EXPECT_THAT(testing::failure_of([] { make_text_reader("ppocr"); }), ::testing::HasSubstr("/nowhere/ch_PP-OCRv4_det_infer.onnx"));
  ::unsetenv("GLYPHSCOPE_OCR_MODELS");
  ::setenv("TESSDATA_PREFIX", "/nowhere", 1);
  EXPECT_THAT(testing::failure_of([] { make_text_reader("tesseract"); }), ::testing::HasSubstr("tesseract-ocr-eng"));
  ::unsetenv("TESSDATA_PREFIX");
}

}  // namespace
}  // namespace glyphscope
