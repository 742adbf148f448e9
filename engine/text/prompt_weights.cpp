#include "text/prompt_weights.h"

#include <torch/types.h>

#include <algorithm>

#include "device/placement.h"

namespace glyphscope {

bool even(const std::vector<double>& weights) {
  return std::all_of(weights.begin(), weights.end(), [](double weight) { return weight == 1; });
}

torch::Tensor weighted_states(const torch::Tensor& states, const torch::Tensor& empty, const std::vector<double>& weights) {
  const torch::Tensor factor = torch::tensor(weights, on_host(torch::kFloat64)).to(states.options()).view({1, -1, 1});
  return torch::where(factor == 1, states, empty + (states - empty) * factor);
}

}  // namespace glyphscope
