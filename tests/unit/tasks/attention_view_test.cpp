#include "tasks/attention_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/golden.h"

namespace glyphscope {
namespace {
using ::testing::ElementsAre;
using testing::failure_of;
using ::testing::HasSubstr;

// Two words, three ranges of seven steps; site 2 with four points, site 5 with one.
event::AttentionReady example() {
  event::AttentionReady out;
  out.words = {"a", "\"TEA\""};
  out.steps = 7;
  out.ranges = 3;
  std::vector<float> large, small;
  for (int range = 0; range < 3; ++range)
    for (int word = 0; word < 2; ++word) {
      for (int point = 0; point < 4; ++point)
        large.push_back(0.1F * static_cast<float>(range) + 0.01F * static_cast<float>(point) + 0.5F * static_cast<float>(word));
      small.push_back(0.2F);
    }
  out.sites = {{2, 2, 2, std::make_shared<const std::vector<float>>(large)}, {5, 1, 1, std::make_shared<const std::vector<float>>(small)}};
  out.picture = {2, 2, std::make_shared<const std::vector<std::uint8_t>>(std::vector<std::uint8_t>(12, 100)), {}, {}, {}};
  return out;
}

TEST(AttentionView, IsTheMeanOfSitesAndSteps) {
  const auto look = example();
  const AttentionMap one = attention_of(look, 1, {2}, 1, 2);
  EXPECT_EQ(one.width, 2);
  EXPECT_NEAR(one.values[3], 0.63, 1e-6);
  EXPECT_NEAR(one.mean, 0.615, 1e-6);
  EXPECT_NEAR(one.largest, 0.63, 1e-6);
  const AttentionMap both = attention_of(look, 1, {}, 0, 3);
  EXPECT_NEAR(both.mean, (0.615 + 0.2) / 2, 1e-6);
  EXPECT_TRUE(attention_of(look, 1, {7}, 0, 3).values.empty());
  EXPECT_TRUE(attention_of(look, 2, {}, 0, 3).values.empty());
  EXPECT_TRUE(attention_of(look, 0, {}, 2, 2).values.empty());
}

TEST(AttentionView, RangesHoldEachStepOnce) {
  event::AttentionReady look;
  for (look.steps = 1; look.steps <= 40; ++look.steps)
    for (look.ranges = 1; look.ranges <= look.steps; ++look.ranges) {
      std::vector<int> seen(static_cast<size_t>(look.steps));
      for (int range = 0; range < look.ranges; ++range) {
        const std::string text = steps_of_range(look, range);
        const int first = std::stoi(text), last = text.find('-') == std::string::npos ? first : std::stoi(text.substr(text.find('-') + 1));
        for (int step = first; step <= last; ++step) {
          ++seen[static_cast<size_t>(step)];
          EXPECT_EQ(step * look.ranges / look.steps, range);  // where the recorder puts it
        }
      }
      EXPECT_THAT(seen, ::testing::Each(1)) << look.steps << " in " << look.ranges;
    }
}

TEST(AttentionView, WordsAreMeantWithoutTheirMarks) {
  const std::vector<std::string> words{"a", "sign,", "that", "says", "\"GREEN", "Tea\""};
  const std::string prompt = "a sign, that says \"GREEN Tea\"";
  EXPECT_THAT(words_meant(words, prompt, {}), ElementsAre(4, 5));
  EXPECT_THAT(words_meant(words, prompt, {"tea", "Sign"}), ElementsAre(1, 5));
  EXPECT_THAT(words_meant({"a", "wall"}, "a wall", {}), ElementsAre(0, 1));
  EXPECT_THAT(failure_of([&] { words_meant(words, prompt, {"milk"}); }), ::testing::AllOf(HasSubstr("'milk'"), HasSubstr("a, sign, that, says, GREEN, Tea")));
}

TEST(AttentionView, LiesOverThePicture) {
  const auto look = example();
  const AttentionMap map = attention_of(look, 1, {2}, 0, 1);
  EXPECT_EQ(attention_picture(look.picture, map, 0).rgb, *look.picture.rgb);
  const Bitmap alone = attention_picture(look.picture, map, 1);
  const Colour largest = colour_of(ColourMap::viridis, 1);
  for (size_t c = 0; c < 3; ++c) EXPECT_NEAR(alone.rgb[9 + c], largest[c], 1);
  EXPECT_EQ(attention_picture(look.picture, {}, 1).rgb, *look.picture.rgb);
}

}  // namespace
}  // namespace glyphscope
