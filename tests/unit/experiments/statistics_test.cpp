#include "experiments/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <tuple>

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
  EXPECT_LT(*score.low, score.mean);
  EXPECT_GT(*score.high, score.mean);
  // Of a sum it is the interval of the summed observations.
  std::vector<Observation> sums = precision;
  for (size_t i = 0; i < sums.size(); ++i) sums[i].value = 2 * precision[i].value - recall[i].value;
  const Score sum = score_of(sums), of_two = score_of_means({precision, recall}, [](const std::vector<double>&means) { return 2 * means[0] - means[1]; });
  EXPECT_NEAR(*of_two.low, *sum.low, 1e-8);
  EXPECT_NEAR(*of_two.high, *sum.high, 1e-8);
}

// With one noise: Student's interval of the words' means. t of 9 degrees: 2.262157 (any table).
TEST(Score, OfOneNoiseIsStudents) {
  std::vector<Observation> observations;
  double squares = 0;
  for (int word = 0; word < 10; ++word) {
    observations.push_back({word * word / 10.0, word, 0});
    squares += std::pow(word * word / 10.0 - 2.85, 2);
  }
  const Score score = score_of(observations);
  EXPECT_NEAR(score.mean, 2.85, 1e-12);
  EXPECT_NEAR(*score.high - score.mean, 2.262157 * std::sqrt(squares / 9 / 10), 1e-5);
  EXPECT_NEAR(score.mean - *score.low, *score.high - score.mean, 1e-12);
  // Noises that are each of one word are no noises that words share.
  for (auto& one : observations) one.noise = one.word;
  EXPECT_EQ(score_of(observations).to_json(), score.to_json());
}

// Where all words are right, what 1 may be is Wilson's interval of as many throws as there are words: n / (n + t^2).
TEST(Score, AllRightIsNotCertain) {
  std::vector<Observation> observations;
  for (int word = 0; word < 8; ++word)
    for (int noise = 0; noise < 4; ++noise) observations.push_back({1, word, noise});
  const Score score = score_of(observations, kShare);
  EXPECT_NEAR(*score.low, 8 / (8 + 2.364624 * 2.364624), 1e-6);
  EXPECT_EQ(*score.high, 1);
  for (auto& one : observations) one.value = 0;
  EXPECT_NEAR(*score_of(observations, kShare).high, 1 - *score.low, 1e-9);
}

// The order in which observations come in, and what words and noises are called, is nothing to the interval.
// Of eight words that are all right, eight are what is known, however many noises say so: rounding is no spread.
TEST(Score, AllRightIsAsManyThrowsAsThereAreWords) {
  constexpr double kStudent = 2.364624;  // of 7 degrees of freedom, 97.5 %
  for (int noises = 1; noises < 12; ++noises) {
    std::vector<Observation> observations;
    for (int word = 0; word < 8; ++word)
      for (int noise = 0; noise < noises; ++noise) observations.push_back({1, word, noise});
    const Score score = score_of(observations, kShare);
    EXPECT_EQ(score.mean, 1) << noises;
    EXPECT_NEAR(*score.low, 8 / (8 + kStudent * kStudent), 1e-6) << noises;
    EXPECT_EQ(*score.high, 1) << noises;
  }
}

TEST(Score, DependsOnNoOrderAndNoNames) {
  Choice choice(3);
  std::vector<Observation> observations, renamed;
  for (int word = 0; word < 7; ++word)
    for (int noise = 0; noise < 3; ++noise) observations.push_back({choice.fraction(), word, noise});
  renamed.assign(observations.rbegin(), observations.rend());
  for (auto& one : renamed) one.word = 100 - one.word, one.noise += 5;
  EXPECT_NEAR(*score_of(renamed).low, *score_of(observations).low, 1e-12);
  EXPECT_NEAR(*score_of(renamed).high, *score_of(observations).high, 1e-12);
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

double normal(Choice& choice) { return std::sqrt(-2 * std::log(1 - choice.fraction())) * std::cos(2 * 3.14159265358979 * choice.fraction()); }

// Share of 2,000 simulated studies of 16 words and 4 noises whose interval holds the true mean, which is 0.
double coverage(double of_words, double of_noises, double of_rest, std::uint64_t seed) {
  Choice choice(seed);
  constexpr int kStudies = 2000;
  int held = 0;
  for (int study = 0; study < kStudies; ++study) {
    std::vector<double> noises;
    for (int noise = 0; noise < 4; ++noise) noises.push_back(of_noises * normal(choice));
    std::vector<Observation> observations;
    for (int word = 0; word < 16; ++word) {
      const double effect = of_words * normal(choice);
      for (int noise = 0; noise < 4; ++noise) observations.push_back({effect + noises[static_cast<size_t>(noise)] + of_rest * normal(choice), word, noise});
    }
    const Score score = score_of(observations);
    held += *score.low <= 0 && 0 <= *score.high;
  }
  return static_cast<double>(held) / kStudies;
}

// 95 % intervals hold the true mean in 93 to 97 % of studies, whether words, noises or both differ.
TEST(Score, IntervalsHoldTheTrueMeanAsOftenAsTheySay) {
  std::uint64_t seed = 1;
  for (const auto& [words, noises, rest] :
       {std::tuple(1.0, 0.0, 0.3), {1.0, 0.0, 1.0}, {1.0, 0.2, 1.0}, {1.0, 0.5, 1.0}, {0.5, 0.5, 1.0}, {0.0, 1.0, 1.0}, {1.0, 1.0, 0.3}, {0.3, 1.0, 0.3}}) {
    const double held = coverage(words, noises, rest, seed++);
    EXPECT_GE(held, 0.93) << words << " " << noises << " " << rest;
    EXPECT_LE(held, 0.97) << words << " " << noises << " " << rest;
  }
  // Where pictures differ by chance alone they are wider than they would have to be.
  EXPECT_GE(coverage(0, 0, 1, seed), 0.95);
}

// Of shares, such as F1, which are 1 but for some words: however close to 1 they are, the intervals hold the true mean in at least 93 %.
TEST(Score, IntervalsOfSharesHoldThemToTheEnds) {
  Choice choice(11);
  for (const double odds : {0.5, 4.0, 30.0, 1000.0}) {
    const auto study = [&](int words, int noises) {
      std::vector<Observation> out;
      for (int word = 0; word < words; ++word) {
        const double logit = std::log(odds) + normal(choice);
        for (int noise = 0; noise < noises; ++noise)
          out.push_back({choice.fraction() < 1 / (1 + std::exp(-logit)) ? 1.0 : 0.5 * choice.fraction(), word, noise});
      }
      return out;
    };
    const double truth = score_of(study(100000, 4)).mean;
    int held = 0;
    for (int i = 0; i < 1000; ++i) {
      const Score score = score_of(study(16, 4), kShare);
      held += *score.low <= truth && truth <= *score.high;
    }
    EXPECT_GE(held, 930) << odds;
  }
}

}  // namespace
}  // namespace glyphscope
