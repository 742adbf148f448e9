#pragma once

#include <torch/types.h>

#include <functional>

#include "core/progress.h"
#include "schedulers/scheduler.h"

namespace glyphscope {

struct DenoiseOptions {
  double guidance = 1;  ///< Over 1: the denoiser gets each row twice, unconditional half first.
  CancelToken cancel;
  std::function<void(std::int64_t call)> before_call = [](std::int64_t) {};  ///< Number of the denoiser call, from 0.
  std::function<void()> after_call = [] {};
};

/// The denoising loop, the only one. noise: unit noise [rows, C, h, w] fp32; denoiser: (latents [rows or 2 rows, C, h, w],
/// timestep) -> output of the same shape. Returns the clean latents, fp32. Throws a Failure if they are not finite.
torch::Tensor denoise(SchedulerRun& scheduler, const torch::Tensor& noise, const std::function<torch::Tensor(const torch::Tensor&, double)>& denoiser,
                      const DenoiseOptions& options);

/// Unit noise of one row, as torch.randn with a CPU generator of that seed gives it. shape: [1, C, h, w]
torch::Tensor row_noise(std::uint64_t seed, at::IntArrayRef shape);

/// Decoded images [B, 3, H, W] in [-1, 1] -> uint8, rounded as diffusers' `VaeImageProcessor` does.
torch::Tensor to_pixels(const torch::Tensor& decoded);

}  // namespace glyphscope
