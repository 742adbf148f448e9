#pragma once

#include <torch/types.h>

namespace glyphscope {

/// How two sets of pictures compare, each a row of features: x [N, D], y [M, D]. Throw a Failure for shapes that do not fit, or too few rows.

/// Squared maximum mean discrepancy with the kernel (a.b / D + 1)^3, unbiased: the KID of arXiv 1801.01401. 0 for equal distributions; a
/// little under it by chance.
double kernel_distance(const torch::Tensor& x, const torch::Tensor& y);

/// arXiv 1904.06991: the share of `made` that lies within the k-nearest-neighbour balls of `real`, and the other way round.
struct PrecisionRecall {
  double precision = 0;  ///< Quality: made pictures that look like real ones.
  double recall = 0;     ///< Diversity: real pictures that could have been made.
};
PrecisionRecall precision_recall(const torch::Tensor& real, const torch::Tensor& made, std::int64_t k = 3);

/// Mean Euclidean distance of all pairs of rows.
double mean_pair_distance(const torch::Tensor& x);

}  // namespace glyphscope
