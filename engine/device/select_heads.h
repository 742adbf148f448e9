#pragma once

#include <torch/types.h>

namespace glyphscope {

/// Gathers each batch row's heads from the K (or V) of several prompts: out[b, h] = prompts[choice[b, h], h].
/// prompts: [P, heads, T, D]; choice: [B, heads] int32 in [0, P), on the same device -> [B, heads, T, D].
/// On CUDA tensors a kernel does it, if it is there (device/kernels.h); elsewhere, and where gradients are wanted, its portable twin. Throws a Failure for
/// wrong shapes or dtypes.
torch::Tensor select_heads(const torch::Tensor& prompts, const torch::Tensor& choice);

/// The portable twin, on any device.
torch::Tensor select_heads_portable(const torch::Tensor& prompts, const torch::Tensor& choice);

}  // namespace glyphscope
