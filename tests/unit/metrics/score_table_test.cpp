#include "metrics/scores.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "metrics/measurement.h"

namespace glyphscope {
namespace {

TEST(ScoreTable, IsWhatFilesFiguresAndPicturesHave) {
  std::set<std::string_view> keys;
  for (const auto& one : score_table()) {
    EXPECT_TRUE(keys.insert(one.key).second) << one.key;
    EXPECT_EQ(find_score(one.key), &one);
    EXPECT_NE(std::string_view(one.title), "") << one.key;
    EXPECT_LT(one.low, one.high) << one.key;
    EXPECT_GE(one.version, 1);
    // A chart's colours go from 0 to 1.
    if (one.charted) EXPECT_TRUE(one.high == 1 && one.compute) << one.key;
  }
  EXPECT_EQ(find_score("beauty"), nullptr);

  // Each picture has just those that are measured, each within its range.
  const torch::Tensor a = torch::randint(256, {3, 24, 32}, torch::kUInt8), b = torch::randint(256, {3, 24, 32}, torch::kUInt8);
  const std::vector<TextPiece> read{{"SALE", 1, {4, 4, 20, 12}}};
  for (const auto& image : {a, b}) {
    const Measurement measured = measure(image, read, a, {}, "OPEN", "SALE");
    EXPECT_EQ(measured.scores.size(), measured_scores().size());
    for (const auto& [key, value] : measured.scores) {
      const ScoreInfo* info = find_score(key);
      ASSERT_NE(info, nullptr) << key;
      EXPECT_TRUE(value >= info->low && value <= info->high) << key << " is " << value;
    }
    EXPECT_EQ(measured.scores.at("word_accuracy"), 1);
    EXPECT_EQ(measured.scores.at("target_edit_distance"), 0);
  }
}

TEST(ScoreTable, WhatNeedsATextIsLeftOutWithoutIt) {
  const torch::Tensor a = torch::randint(256, {3, 24, 32}, torch::kUInt8);
  for (const auto& [source, target] : {std::pair("", "SALE"), {"OPEN", ""}, {"", ""}, {"OPEN", "SALE"}}) {
    Measurement measured = measure(a, {}, a, {}, source, target);
    leave_out_unscored(measured, source, target);
    for (const ScoreInfo* info : measured_scores()) {
      const bool missing = (info->against == ScoreInfo::Against::source_text && !*source) || (info->against == ScoreInfo::Against::target_text && !*target);
      EXPECT_NE(measured.scores.contains(std::string(info->key)), missing) << info->key;
    }
  }
}

}  // namespace
}  // namespace glyphscope
