#pragma once

#include <torch/types.h>

#include <functional>
#include <optional>

#include "core/progress.h"
#include "pipelines/safe_guidance.h"
#include "pipelines/trajectory.h"
#include "schedulers/scheduler.h"

namespace glyphscope {

struct DenoiseOptions {
  double guidance = 1;               ///< Over 1: the denoiser gets each row twice, unconditional half first.
  std::optional<SafeGuidance> safe;  ///< Then each row a third time, with what is unwanted. Needs guidance.
  CancelToken cancel;
  std::function<void(std::int64_t call)> before_call = [](std::int64_t) {};  ///< Number of the denoiser call, from 0.
  std::function<void()> after_call = [] {};                                  ///< Not where the denoiser's output was known.
  const Followers* followers = nullptr;                                      ///< Rows that follow another row's trajectory.
  std::vector<Trajectory>* record = nullptr;                                 ///< Gets the trajectories of all rows.
};

/// The denoising loop, the only one. noise: unit noise [rows, C, h, w] fp32; denoiser: (latents [rows or 2 rows, C, h, w],
/// timestep) -> output of the same shape, or with twice the channels where it also says a variance: that of the conditional
/// half is used, if the scheduler learns it. Returns the clean latents, fp32. Throws a Failure if they are not finite.
torch::Tensor denoise(SchedulerRun& scheduler, const torch::Tensor& noise, const std::function<torch::Tensor(const torch::Tensor&, double)>& denoiser,
                      const DenoiseOptions& options);

/// The noises of a batch, a generator a row: rows with the same seed get the same noise at every step.
class RowNoise {
 public:
  void add(std::uint64_t seed);
  /// Unit noise [rows, C, h, w], as torch.randn with each row's CPU generator gives it; draw after draw. shape: [1, C, h, w]
  torch::Tensor draw(at::IntArrayRef shape);

 private:
  std::vector<at::Generator> generators_;
};

/// Decoded images [B, 3, H, W] in [-1, 1] -> uint8, rounded as diffusers' `VaeImageProcessor` does.
torch::Tensor to_pixels(const torch::Tensor& decoded);

}  // namespace glyphscope
