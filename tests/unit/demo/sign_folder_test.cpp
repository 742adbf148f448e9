#include "demo/sign_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "adapt/picture_set.h"
#include "experiments/prompt_set.h"
#include "io/files.h"
#include "io/resources.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {
using ::testing::HasSubstr;

TEST(SignFolder, IsReadAsPicturesAndKeepsItsTextsApart) {
  const testing::TemporaryFolder folder;
  SignFolder settings;
  settings.data.styles = SignStyles::plain;
  settings.texts = sign_numbers(40, settings.data, 1);
  ASSERT_EQ(std::set<std::string>(settings.texts.begin(), settings.texts.end()).size(), 40u);
  for (const auto& number : settings.texts) {
    EXPECT_TRUE(number.size() >= 3 && number.size() <= 5) << number;
    EXPECT_EQ(number.find_first_not_of("23456789"), std::string::npos) << number;
  }
  settings.count = 60;
  settings.held_out = 20;  // a quarter of 40 are 10
  settings.font = TextStyle::Font::serif;
  draw_sign_folder(settings, folder / "signs", [](const Progress&) {}, {});
  const PictureSet read = read_picture_set(folder / "signs", 0);
  EXPECT_THAT(read.faults, ::testing::IsEmpty());
  ASSERT_EQ(read.train.size(), 60u);
  std::set<std::string> shown, held_out;
  int blank = 0;
  for (const auto& one : read.train) {
    EXPECT_EQ(one.width, 64);
    shown.insert(quoted_text(one.caption));
  }
  for (const auto& prompt : read_word_list(folder / "signs/prompts.txt")) {
    if (quoted_text(prompt).empty()) {
      EXPECT_THAT(prompt, HasSubstr("blank"));
      ++blank;
    } else {
      held_out.insert(quoted_text(prompt));
    }
  }
  EXPECT_EQ(held_out.size(), 10u);
  EXPECT_EQ(blank, 10);
  for (const auto& text : held_out) EXPECT_FALSE(shown.contains(text)) << text;
  EXPECT_THAT(testing::failure_of([&] { draw_sign_folder(settings, folder / "signs", [](const Progress&) {}, {}); }), HasSubstr("pictures already"));
}

}  // namespace
}  // namespace glyphscope
