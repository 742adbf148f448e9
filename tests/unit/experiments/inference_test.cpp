#include "experiments/inference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "core/random.h"

namespace glyphscope {
namespace {

// The example of Benjamini and Hochberg's paper (1995, section 3.2): four of 15 hypotheses are rejected at 5 %; Bonferroni rejects three.
TEST(Inference, BenjaminiHochbergsOwnExample) {
  const std::vector<double> p{0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0};
  const std::vector<bool> rejected = benjamini_hochberg(p, 0.05);
  EXPECT_EQ(std::accumulate(rejected.begin(), rejected.end(), 0), 4);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(rejected[static_cast<size_t>(i)]);
  EXPECT_THAT(benjamini_hochberg({1, 1}, 0.05), ::testing::Each(false));
  EXPECT_TRUE(benjamini_hochberg({}, 0.05).empty());
}

TEST(Inference, PValuesAreStudents) {
  // Words' means 1, 2, 3 and the one of no effect: mean 1.5, standard error sqrt(5 / 3 / 4): t = 2.3238, 3 degrees, which 5.14 % exceed (scipy.stats.t.sf).
  EXPECT_NEAR(p_value_above_zero({{1, 0, 0}, {2, 1, 0}, {2.5, 2, 0}, {3.5, 2, 1}}), 0.0513640, 1e-6);
  EXPECT_EQ(p_value_above_zero({{0, 0, 0}, {0, 1, 0}}), 1);
  EXPECT_GT(p_value_above_zero({{-1, 0, 0}, {-1, 1, 0}, {-0.9, 2, 0}}), 0.95);
  EXPECT_GT(p_value_above_zero({{1, 0, 0}}), 0.05) << "one word is no evidence";
}

// Left gloves of two, a right one of the third: 1/6, 1/6, 4/6, as textbooks have it.
TEST(Inference, TheGloveGame) {
  const auto pairs = [](std::uint32_t set) { return (set & 4) && (set & 3) ? 1.0 : 0.0; };
  const std::vector<double> values = shapley_values(3, pairs);
  EXPECT_NEAR(values[0], 1 / 6.0, 1e-12);
  EXPECT_NEAR(values[1], 1 / 6.0, 1e-12);
  EXPECT_NEAR(values[2], 4 / 6.0, 1e-12);
}

// In any game the values add up to what all players do; a player who adds nothing gets nothing; and samples come near.
TEST(Inference, ShapleyValuesKeepTheirLaws) {
  Choice choice(5);
  for (const int players : {1, 4, 7, 11}) {
    std::vector<double> game(std::size_t{1} << players);
    for (auto& one : game) one = choice.fraction();
    // The last player adds nothing.
    const std::uint32_t last = std::uint32_t{1} << (players - 1);
    if (players > 1)
      for (std::uint32_t set = 0; set < last; ++set) game[set | last] = game[set];
    const auto value = [&](std::uint32_t set) { return game[set]; };
    const std::vector<double> exact = shapley_values(players, value);
    EXPECT_NEAR(std::accumulate(exact.begin(), exact.end(), 0.0), game.back() - game.front(), 1e-9);
    if (players > 1) EXPECT_NEAR(exact.back(), 0, 1e-12);
    const std::vector<double> sampled = sampled_shapley_values(players, 2000, 9, value);
    EXPECT_NEAR(std::accumulate(sampled.begin(), sampled.end(), 0.0), game.back() - game.front(), 1e-9);
    for (size_t i = 0; i < exact.size(); ++i) EXPECT_NEAR(sampled[i], exact[i], 0.03) << players;
  }
}

// 200 studies of 70 sites, none of which does anything: letters are shared by chance alone, and what noise does to a picture it does to all words. In as many
// as the level says, or fewer, a site is called discovered.
TEST(Inference, FalseDiscoveriesAreAtMostWhatTheLevelSays) {
  Choice choice(3);
  for (const auto& [words, noises, level] : {std::tuple(8, 1, 0.05), {16, 1, 0.05}, {16, 4, 0.05}, {8, 4, 0.2}}) {
    int false_ones = 0;
    constexpr int kStudies = 200;
    for (int study = 0; study < kStudies; ++study) {
      std::vector<double> p;
      for (int site = 0; site < 70; ++site) {
        std::vector<Observation> differences;
        for (int word = 0; word < words; ++word)
          for (int noise = 0; noise < noises; ++noise) {
            // F1 with B's text of A's own picture and of the patched one: now and then some letters, as they are shared.
            const auto f1 = [&] { return choice.fraction() < 0.6 ? 0.0 : std::floor(4 * choice.fraction()) / 8; };
            differences.push_back({f1() - f1(), word, noise});
          }
        p.push_back(p_value_above_zero(differences));
      }
      const std::vector<bool> rejected = benjamini_hochberg(p, level);
      false_ones += std::find(rejected.begin(), rejected.end(), true) != rejected.end();
    }
    EXPECT_LE(static_cast<double>(false_ones) / kStudies, level) << words << " words, " << noises << " noises";
  }
}

}  // namespace
}  // namespace glyphscope
