#include "metrics/feature_scores.h"

#include <torch/torch.h>

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

torch::Tensor kernel_distance(const torch::Tensor& first, const torch::Tensor& second) {
  const torch::Tensor x = checked(first, first.size(-1), 2), y = checked(second, first.size(-1), 3);
  const auto kernel = [&](const torch::Tensor& a, const torch::Tensor& b) { return (a.matmul(b.t()) / static_cast<double>(x.size(1)) + 1).pow(3); };
  // Sums over the others, by row.
  const auto others = [&](const torch::Tensor& a) {
    const torch::Tensor all = kernel(a, a);
    return all.sum(1) - all.diagonal();
  };
  const auto n = static_cast<double>(x.size(0)), m = static_cast<double>(y.size(0));
  const torch::Tensor own = others(y), across = kernel(x, y).mean(0), sum = own.sum();
  // m times the score of all, less m - 1 times that of all but one.
  const torch::Tensor within = m * sum / (m * (m - 1)) - (m - 1) * (sum - 2 * own) / ((m - 1) * (m - 2));
  return others(x).sum() / (n * (n - 1)) + within - 2 * across;
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
