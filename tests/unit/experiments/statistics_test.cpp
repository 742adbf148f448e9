#include "experiments/statistics.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/random.h"

namespace glyphscope {
namespace {

TEST(Score, HasNoIntervalUnderFiveWords) {
  std::vector<Observation> observations;
  for (int i = 0; i < 4; ++i) observations.push_back({0.5, i, 0});
  EXPECT_FALSE(score_of(observations).low);
  observations.push_back({0.5, 4, 0});
  EXPECT_DOUBLE_EQ(*score_of(observations).low, 0.5);
}

TEST(Score, LeavesOutWhatIsNotFinite) {
  const Score score = score_of({{1, 0, 0}, {std::numeric_limits<double>::infinity(), 1, 0}, {3, 2, 0}});
  EXPECT_DOUBLE_EQ(score.mean, 2);
  EXPECT_EQ(score.n, 2);
  EXPECT_EQ(score.infinite, 1);
  EXPECT_EQ(score.to_json()["infinite"], 1);
  EXPECT_EQ(score_of({}).to_json().dump(), R"({"mean":null,"low":null,"high":null,"n":0})");
}

// The paper's code: F1 of the means, which is no mean of F1.
TEST(Score, OfMeansIsComputedFromThem) {
  const auto f1 = [](const std::vector<double>& means) { return 2 * means[0] * means[1] / (means[0] + means[1]); };
  std::vector<Observation> precision, recall;
  for (int word = 0; word < 6; ++word) {
    precision.push_back({word < 3 ? 1.0 : 0.5, word, 0});
    recall.push_back({word < 3 ? 0.25 : 0.75, word, 0});
  }
  const Score score = score_of_means({precision, recall}, f1);
  EXPECT_DOUBLE_EQ(score.mean, 2 * 0.75 * 0.5 / 1.25);
  // Of six words k are of the first kind, as often as heads in six throws: F1 is 0.4889 at k = 5, which 11 % reach, and 0.6222 at k = 1 and 2.
  EXPECT_NEAR(*score.low, 0.4889, 1e-4);
  EXPECT_NEAR(*score.high, 0.6222, 1e-4);
}

// The interval must widen when observations of one word move together: that is what clusters are for.
TEST(Score, ClustersWidenTheInterval) {
  Choice choice(1);
  std::vector<Observation> independent, clustered;
  for (int word = 0; word < 20; ++word) {
    const double shared = choice.fraction();
    for (int k = 0; k < 10; ++k) {
      independent.push_back({choice.fraction(), word * 10 + k, 0});
      clustered.push_back({shared, word, 0});
    }
  }
  const Score a = score_of(independent), b = score_of(clustered);
  EXPECT_GT(*b.high - *b.low, 2 * (*a.high - *a.low));
}

// In 100 draws of 30 words from a known distribution the 95 % interval holds the true mean about 95 times.
TEST(Score, IntervalsHoldTheTrueMeanAsOftenAsTheySay) {
  Choice choice(7);
  int held = 0;
  for (int draw = 0; draw < 100; ++draw) {
    std::vector<Observation> observations;
    for (int word = 0; word < 30; ++word) observations.push_back({choice.fraction(), word, 0});
    const Score score = score_of(observations);
    held += *score.low <= 0.5 && 0.5 <= *score.high;
  }
  EXPECT_GE(held, 88);
  EXPECT_LE(held, 100);
}

}  // namespace
}  // namespace glyphscope
