#include "metrics/feature_scores.h"

#include <torch/types.h>

#include <set>
#include <string>

#include "core/error.h"

namespace glyphscope {

namespace {

torch::Tensor checked(const torch::Tensor& x, std::int64_t width, std::int64_t fewest) {
  if (x.dim() != 2 || x.size(1) != width || x.size(0) < fewest)
    reject("features must be at least " + std::to_string(fewest) + " rows of " + std::to_string(width) + " numbers", "comparison of pictures");
  return x.to(torch::kFloat64);
}

// Distance of each row to its k-th nearest among the others.
torch::Tensor radii(const torch::Tensor& x, std::int64_t k) { return std::get<0>(torch::cdist(x, x).kthvalue(k + 1, 1)); }

torch::Tensor covered(const torch::Tensor& centres, const torch::Tensor& points, std::int64_t k) {
  const torch::Tensor within = torch::cdist(points, centres) <= radii(centres, k).unsqueeze(0);
  return within.any(1).to(torch::kFloat64);
}

}  // namespace

torch::Tensor kernel_distance(const torch::Tensor& first, const torch::Tensor& second, const std::vector<int>& prompts) {
  const torch::Tensor x = checked(first, first.size(-1), 2), y = checked(second, first.size(-1), 3);
  const std::int64_t n = x.size(0), m = y.size(0);
  // Which pairs count.
  torch::Tensor across = torch::ones({n, m}, torch::kFloat64);
  if (!prompts.empty()) {
    const torch::Tensor prompt = torch::tensor(prompts);
    if (n != m || prompt.size(0) != n) reject("the prompts must be those of both sets' rows", "comparison of pictures");
    across = (prompt.unsqueeze(1) != prompt.unsqueeze(0)).to(torch::kFloat64);
    // Without any one picture, two must be left.
    if (std::set(prompts.begin(), prompts.end()).size() < 3) reject("the pictures must be of three prompts and more", "comparison of pictures");
  }
  const auto within = [&](std::int64_t rows) {
    return (prompts.empty() ? torch::ones({rows, rows}, torch::kFloat64) : across) * (1 - torch::eye(rows, torch::kFloat64));
  };
  const auto kernel = [&](const torch::Tensor& a, const torch::Tensor& b) { return (a.matmul(b.t()) / static_cast<double>(x.size(1)) + 1).pow(3); };
  // m times the mean over the pairs that count, less m - 1 times that without a row of y; often: 2 where that row is also one of the other side.
  const auto pseudo = [&](const torch::Tensor& values, const torch::Tensor& counts, double often) {
    const torch::Tensor sum = (values * counts).sum(0), pairs = counts.sum(0);
    const auto rows = static_cast<double>(m);
    return rows * sum.sum() / pairs.sum() - (rows - 1) * (sum.sum() - often * sum) / (pairs.sum() - often * pairs);
  };
  const torch::Tensor own = within(n);
  return (kernel(x, x) * own).sum() / own.sum() + pseudo(kernel(y, y), within(m), 2) - 2 * pseudo(kernel(x, y), across, 1);
}

PrecisionRecall precision_recall(const torch::Tensor& real, const torch::Tensor& made, std::int64_t k) {
  const torch::Tensor x = checked(real, real.size(-1), k + 1), y = checked(made, real.size(-1), k + 1);
  return {covered(x, y, k), covered(y, x, k)};
}

double mean_pair_distance(const torch::Tensor& rows) {
  const torch::Tensor x = checked(rows, rows.size(-1), 2);
  return torch::pdist(x).mean().item<double>();
}

}  // namespace glyphscope
