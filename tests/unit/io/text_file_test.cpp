#include "io/text_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "editing/term_list.h"
#include "experiments/prompt_set.h"
#include "io/files.h"
#include "io/resources.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {
using ::testing::ElementsAre;
using testing::failure_of;
using ::testing::HasSubstr;

const std::string kMark = "\xEF\xBB\xBF";

TEST(TextFile, AByteOrderMarkIsNoPartOfTheText) {
  const testing::TemporaryFolder folder;
  write_text(folder / "a.txt", kMark + "one\r\ntwo\n" + kMark + "three");
  EXPECT_THAT(read_lines(folder / "a.txt"), ElementsAre("one", "two", "three")) << "of files that were put together, within too";
}

TEST(TextFile, LinesEndAsOnAnySystem) {
  const testing::TemporaryFolder folder;
  write_text(folder / "a.txt", "one\rtwo\r\nthree\n\rfour");
  EXPECT_THAT(read_lines(folder / "a.txt"), ElementsAre("one", "two", "three", "", "four"));
  EXPECT_EQ(TermList::read(folder / "a.txt").terms().size(), 4u);
}

// Every list that people write is read alike, with the mark and without it.
TEST(TextFile, EveryListIsReadWithoutIt) {
  const testing::TemporaryFolder folder;
  write_text(folder / "words.txt", kMark + "LOVE\nHATE\n");
  EXPECT_THAT(read_word_list(folder / "words.txt"), ElementsAre("LOVE", "HATE"));
  write_text(folder / "pairs.txt", kMark + "says \"A\"\tsays \"B\"\n");
  EXPECT_EQ(read_pairs(folder / "pairs.txt").front().source, "says \"A\"");
  write_text(folder / "terms.txt", kMark + "hate => love\n");
  EXPECT_EQ(TermList::read(folder / "terms.txt").find("I hate it").size(), 1u);
}

// As Windows' editors write it under the name "Unicode", with the letter U+1D5A0 outside the first plane.
TEST(TextFile, Utf16IsReadByItsMark) {
  const testing::TemporaryFolder folder;
  const std::string small(
      "\xFF\xFE"
      "a\0\r\0\n\0\xE9\0\x35\xD8\xA0\xDD",
      14),
      big("\xFE\xFF\0a\0\r\0\n\0\xE9\xD8\x35\xDD\xA0", 14);
  for (const auto& bytes : {small, big}) {
    write_text(folder / "a.txt", bytes);
    EXPECT_THAT(read_lines(folder / "a.txt"), ElementsAre("a", "\xC3\xA9\xF0\x9D\x96\xA0"));
  }
  write_text(folder / "a.txt", "\xFF\xFE");
  EXPECT_THAT(read_lines(folder / "a.txt"), ::testing::IsEmpty());
}

TEST(TextFile, WhatIsNoUtf8IsNamedWithTheRemedy) {
  const testing::TemporaryFolder folder;
  const auto error = [&](const std::string& bytes) {
    write_text(folder / "a.txt", bytes);
    return failure_of([&] { read_lines(folder / "a.txt"); });
  };
  const std::string cut(
      "\xFF\xFE"
      "a\0b",
      5),
      half(
          "\xFF\xFE\x3D\xD8"
          "a\0",
          6);  // in a letter; a surrogate without its other half
  for (const auto& damaged : {cut, half}) EXPECT_THAT(error(damaged), AllOf(HasSubstr("UTF-16"), HasSubstr("a.txt"), HasSubstr("Save it as UTF-8")));
  EXPECT_THAT(error("one\ncaf\xE9\n"), AllOf(HasSubstr("not in UTF-8"), HasSubstr("line 2")));
  EXPECT_THAT(error(std::string("one\ntwo\nth\0ree", 14)), AllOf(HasSubstr("zero byte"), HasSubstr("line 3")));
  EXPECT_THAT(error("\xC0\xAF"), HasSubstr("not in UTF-8")) << "overlong";
  EXPECT_EQ(error("caf\u00e9 \u4e2d"), "");
}

}  // namespace
}  // namespace glyphscope
