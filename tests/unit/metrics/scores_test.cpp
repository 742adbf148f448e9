#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "metrics/image_scores.h"
#include "metrics/text_scores.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {

TEST(ImageScores, EqualScikitImage) {
  const SafetensorsFile expected(testing::golden("metrics.safetensors"));
  for (int i = 0; i < 6; ++i) {
    const std::string name = "pair." + std::to_string(i);
    const torch::Tensor a = expected.tensor(name + ".a").permute({2, 0, 1}).contiguous(), b = expected.tensor(name + ".b").permute({2, 0, 1}).contiguous();
    const ImageScores scores = score_images(a, b);
    EXPECT_NEAR(scores.ssim, expected.tensor("ssim")[i].item<double>(), 1e-6) << i;
    EXPECT_NEAR(scores.mse, expected.tensor("mse")[i].item<double>(), 1e-9) << i;
    const double psnr = expected.tensor("psnr")[i].item<double>();
    if (std::isinf(psnr)) {
      EXPECT_TRUE(std::isinf(scores.psnr));
    } else {
      EXPECT_NEAR(scores.psnr, psnr, 1e-9) << i;
    }
  }
}

// As numpy has it in uint8: 3 - 5 is 254, whose square is 4; and equal pictures have a PSNR of 148.13.
TEST(ImageScores, OfThePapersCodeWrap) {
  const torch::Tensor a = torch::full({3, 16, 16}, 3, torch::kUInt8), b = torch::full({3, 16, 16}, 5, torch::kUInt8),
                      c = torch::full({3, 16, 16}, 19, torch::kUInt8);
  EXPECT_EQ(score_images(a, b).wrapped_mse, 4);
  EXPECT_EQ(score_images(a, c).wrapped_mse, 0) << "16 x 16 is 256";
  EXPECT_EQ(score_images(a, c).mse, 256);
  EXPECT_NEAR(score_images(a, a).wrapped_psnr, 148.13, 0.005);
}

TEST(ImageScores, RefusesPairsThatDoNotFit) {
  const torch::Tensor a = torch::zeros({3, 20, 20}, torch::kUInt8);
  EXPECT_THAT(testing::failure_of([&] { score_images(a, torch::zeros({3, 20, 21}, torch::kUInt8)); }), ::testing::HasSubstr("equal size"));
  EXPECT_THAT(testing::failure_of([&] { score_images(a.slice(1, 0, 8), a.slice(1, 0, 8)); }), ::testing::HasSubstr("11 x 11"));
}

TEST(TextScores, CountCharactersAsMultisets) {
  const TextScores same = score_text("Love ", "LOVE");
  EXPECT_TRUE(same.exact);
  EXPECT_EQ(same.f1, 1);
  EXPECT_EQ(same.edit_distance, 0);
  // "HATE" against "LOVE": only E is common.
  const TextScores other = score_text("HATE", "LOVE");
  EXPECT_DOUBLE_EQ(other.precision, 0.25);
  EXPECT_DOUBLE_EQ(other.recall, 0.25);
  EXPECT_EQ(other.edit_distance, 3);
  // "LLOOVE" has one L and one O too many.
  const TextScores more = score_text("LLOOVE", "LOVE");
  EXPECT_DOUBLE_EQ(more.precision, 4.0 / 6);
  EXPECT_DOUBLE_EQ(more.recall, 1);
  EXPECT_DOUBLE_EQ(more.f1, 0.8);
  const TextScores shuffled = score_text("EV OL", "love");
  EXPECT_TRUE(shuffled.anagram);
  EXPECT_FALSE(shuffled.exact);
  EXPECT_DOUBLE_EQ(shuffled.precision, 4.0 / 5) << "the space counts";
}

// Words of several lines, as multisets; an edit distance as a share of the longer text.
TEST(TextScores, CountWords) {
  const TextScores two = score_text("open late\nOPEN", "Open until late");
  EXPECT_NEAR(two.word_precision, 2.0 / 3, 1e-12) << "open and late of open, late, open";
  EXPECT_NEAR(two.word_recall, 2.0 / 3, 1e-12);
  EXPECT_NEAR(two.word_f1, 2.0 / 3, 1e-12);
  const TextScores none = score_text("opne", "open");
  EXPECT_EQ(none.word_f1, 0) << "every letter is there, the word is not";
  EXPECT_EQ(none.f1, 1);
  EXPECT_EQ(score_text("", "").word_f1, 1);
  EXPECT_EQ(score_text("", "").normalized_edit_distance, 0);
  EXPECT_EQ(score_text("", "open").normalized_edit_distance, 1);
  EXPECT_EQ(score_text("kitten", "sitting").normalized_edit_distance, 3.0 / 7);
}

TEST(TextScores, NothingReadIsNothingRight) {
  EXPECT_EQ(score_text("", "LOVE").f1, 0);
  EXPECT_EQ(score_text("LOVE", "").f1, 0);
  EXPECT_EQ(score_text("", "").f1, 1);
  EXPECT_EQ(score_text("", "LOVE").edit_distance, 4);
}

TEST(TextScores, LettersAreCodePoints) {
  EXPECT_EQ(score_text("caf\u00e9", "cafe\u0301").edit_distance, 0) << "composed and decomposed are equal";
  EXPECT_EQ(score_text("\u00c4", "a").edit_distance, 1);
}

}  // namespace
}  // namespace glyphscope
