#pragma once

#include <torch/types.h>

#include <vector>

#include "text/weighted_prompt.h"

namespace glyphscope {

/// states, empty: [1, T, width], what an encoder says of a prompt and of an empty one; weights: T of them. A token of weight w is moved to w
/// times its distance from what the empty prompt has in its place; of weight 1, not at all. Source: ComfyUI comfy/sd1_clip.py
/// `ClipTokenWeightEncoder`.
torch::Tensor weighted_states(const torch::Tensor& states, const torch::Tensor& empty, const std::vector<double>& weights);

/// Whether all weights are 1.
bool even(const std::vector<double>& weights);

}  // namespace glyphscope
