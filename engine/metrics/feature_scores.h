#pragma once

#include <torch/types.h>

#include <vector>

namespace glyphscope {

/// How two sets of pictures compare, each a row of features: x [N, D], y [M, D]. What each row contributes, fp64: the score is the mean of it, and its
/// spread tells how sure the score is. Throw a Failure for shapes that do not fit, or too few rows.

/// Squared maximum mean discrepancy with the kernel (a.b / D + 1)^3, unbiased: the KID of arXiv 1801.01401. 0 for equal distributions; a
/// little under or over it by chance. prompts: of what prompt each row of both is, [N] where N = M; pairs of one prompt, which are alike in any model, are
/// left out, within a set as across: there are more of them across. Empty: no pair is. [M], of y: jackknife pseudo-values (Efron, "The Jackknife, the
/// Bootstrap and Other Resampling Plans", 1982, section 2).
torch::Tensor kernel_distance(const torch::Tensor& x, const torch::Tensor& y, const std::vector<int>& prompts = {});

/// arXiv 1904.06991: what of `made` lies within the k-nearest-neighbour balls of `real`, and the other way round; 1 or 0.
struct PrecisionRecall {
  torch::Tensor precision;  ///< Quality, [M]: made pictures that look like real ones.
  torch::Tensor recall;     ///< Diversity, [N]: real pictures that could have been made.
};
PrecisionRecall precision_recall(const torch::Tensor& real, const torch::Tensor& made, std::int64_t k = 3);

/// Mean Euclidean distance of all pairs of rows.
double mean_pair_distance(const torch::Tensor& x);

}  // namespace glyphscope
