#include "metrics/feature_scores.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

#include "core/random.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {

double mean_of(const torch::Tensor& parts) { return parts.mean().item<double>(); }

// Numbers of torch-fidelity 0.4.0 (`kernel_mmd` with its KID defaults, `calculate_precision_recall_part`) and of SciPy's `pdist`.
TEST(FeatureScores, AreTheReferences) {
  const torch::Tensor i = torch::arange(24, torch::kFloat64).unsqueeze(1), j = torch::arange(6, torch::kFloat64).unsqueeze(0);
  const torch::Tensor x = torch::sin(0.7 * i + 1.3 * j + 0.1 * i * j), y = 1.3 * torch::sin(0.9 * i + 1.1 * j + 0.13 * i * j + 0.4) + 0.5;
  EXPECT_NEAR(mean_of(kernel_distance(x, y)), 0.779967660500327, 1e-12);
  const PrecisionRecall near = precision_recall(x, y, 1), wide = precision_recall(x, y, 3);
  EXPECT_NEAR(mean_of(near.precision), 5.0 / 24, 1e-6);
  EXPECT_NEAR(mean_of(near.recall), 15.0 / 24, 1e-6);
  EXPECT_NEAR(mean_of(wide.precision), 21.0 / 24, 1e-6);
  EXPECT_NEAR(mean_of(wide.recall), 1.0, 1e-6);
  EXPECT_NEAR(mean_pair_distance(x), 2.397143855210919, 1e-12);
}

// The spread of the parts tells that of the score: over many sets, within a quarter.
TEST(FeatureScores, PartsTellHowSureTheDistanceIs) {
  at::Generator generator = make_generator(7);
  const torch::Tensor x = torch::randn({50, 4}, generator);
  std::vector<double> scores;
  double told = 0;
  constexpr int kSets = 200;
  for (int i = 0; i < kSets; ++i) {
    const torch::Tensor parts = kernel_distance(x, 0.8 * torch::randn({40, 4}, generator) + 0.3);
    scores.push_back(mean_of(parts));
    told += parts.var().item<double>() / 40 / kSets;
  }
  EXPECT_NEAR(std::sqrt(told) / torch::tensor(scores, torch::kFloat64).std().item<double>(), 1, 0.25);
}

// Pictures of one prompt are alike: a model compared with itself, other noise, is at no distance on average, once such pairs are left out.
TEST(FeatureScores, PairsOfOnePromptDoNotCount) {
  at::Generator generator = make_generator(9);
  const torch::Tensor prompt = 2 * torch::randn({12, 6}, generator);
  const std::vector<int> prompts{0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11};
  const torch::Tensor means = prompt.repeat_interleave(2, 0);
  std::vector<double> left_out, counted;
  constexpr int kDraws = 200;
  for (int i = 0; i < kDraws; ++i) {
    const torch::Tensor x = means + 0.3 * torch::randn({24, 6}, generator), y = means + 0.3 * torch::randn({24, 6}, generator);
    left_out.push_back(mean_of(kernel_distance(x, y, prompts)));
    counted.push_back(mean_of(kernel_distance(x, y)));
  }
  const auto in_errors = [&](const std::vector<double>& scores) {
    const torch::Tensor all = torch::tensor(scores, torch::kFloat64);
    return all.mean().item<double>() / (all.std().item<double>() / std::sqrt(kDraws));
  };
  EXPECT_LT(std::abs(in_errors(left_out)), 3);
  EXPECT_LT(in_errors(counted), -30);
  EXPECT_THAT(testing::failure_of([&] { kernel_distance(means, means, {1, 2}); }), ::testing::HasSubstr("prompts"));
  EXPECT_THAT(testing::failure_of([&] { kernel_distance(means.slice(0, 0, 4), means.slice(0, 0, 4), {0, 0, 1, 1}); }), ::testing::HasSubstr("three prompts"));
}

// Two halves of one distribution are alike; a shifted one is not, and one that has collapsed keeps quality and loses diversity.
TEST(FeatureScores, TellQualityFromDiversity) {
  at::Generator generator = make_generator(1);
  const torch::Tensor a = torch::randn({200, 8}, generator), b = torch::randn({200, 8}, generator), collapsed = 0.3 * torch::randn({200, 8}, generator);
  EXPECT_NEAR(mean_of(kernel_distance(a, b)), 0, 0.1);
  EXPECT_GT(mean_of(kernel_distance(a, b + 1)), 1);
  EXPECT_GT(mean_of(precision_recall(a, b).precision), 0.7);
  const PrecisionRecall narrow = precision_recall(a, collapsed);
  EXPECT_GT(mean_of(narrow.precision), 0.95);
  EXPECT_LT(mean_of(narrow.recall), 0.2);
  EXPECT_EQ(mean_of(precision_recall(a, a + 100).precision), 0);
  EXPECT_THAT(testing::failure_of([&] { kernel_distance(a, torch::zeros({4, 7})); }), ::testing::HasSubstr("rows of 8"));
  EXPECT_THAT(testing::failure_of([&] { precision_recall(a, a.slice(0, 0, 3)); }), ::testing::HasSubstr("at least 4"));
}

}  // namespace
}  // namespace glyphscope
