#include "metrics/feature_scores.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "core/random.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {

// Numbers of torch-fidelity 0.4.0 (`kernel_mmd` with its KID defaults, `calculate_precision_recall_part`) and of SciPy's `pdist`.
TEST(FeatureScores, AreTheReferences) {
  const torch::Tensor i = torch::arange(24, torch::kFloat64).unsqueeze(1), j = torch::arange(6, torch::kFloat64).unsqueeze(0);
  const torch::Tensor x = torch::sin(0.7 * i + 1.3 * j + 0.1 * i * j), y = 1.3 * torch::sin(0.9 * i + 1.1 * j + 0.13 * i * j + 0.4) + 0.5;
  EXPECT_NEAR(kernel_distance(x, y), 0.779967660500327, 1e-12);
  const PrecisionRecall near = precision_recall(x, y, 1), wide = precision_recall(x, y, 3);
  EXPECT_NEAR(near.precision, 5.0 / 24, 1e-6);
  EXPECT_NEAR(near.recall, 15.0 / 24, 1e-6);
  EXPECT_NEAR(wide.precision, 21.0 / 24, 1e-6);
  EXPECT_NEAR(wide.recall, 1.0, 1e-6);
  EXPECT_NEAR(mean_pair_distance(x), 2.397143855210919, 1e-12);
}

// Two halves of one distribution are alike; a shifted one is not, and one that has collapsed keeps quality and loses diversity.
TEST(FeatureScores, TellQualityFromDiversity) {
  at::Generator generator = make_generator(1);
  const torch::Tensor a = torch::randn({200, 8}, generator), b = torch::randn({200, 8}, generator), collapsed = 0.3 * torch::randn({200, 8}, generator);
  EXPECT_NEAR(kernel_distance(a, b), 0, 0.1);
  EXPECT_GT(kernel_distance(a, b + 1), 1);
  EXPECT_GT(precision_recall(a, b).precision, 0.7);
  const PrecisionRecall narrow = precision_recall(a, collapsed);
  EXPECT_GT(narrow.precision, 0.95);
  EXPECT_LT(narrow.recall, 0.2);
  EXPECT_EQ(precision_recall(a, a + 100).precision, 0);
  EXPECT_THAT(testing::failure_of([&] { kernel_distance(a, torch::zeros({4, 7})); }), ::testing::HasSubstr("rows of 8"));
  EXPECT_THAT(testing::failure_of([&] { precision_recall(a, a.slice(0, 0, 3)); }), ::testing::HasSubstr("at least 4"));
}

}  // namespace
}  // namespace glyphscope
