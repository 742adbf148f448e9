#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace glyphscope {

/// One row's latents from noise to picture: enough to draw it again without the denoiser, or to depart from it at any step.
struct Trajectory {
  std::vector<torch::Tensor> latents;  ///< Before each denoiser call, and after the last: [C, h, w] fp32.
  std::vector<torch::Tensor> outputs;  ///< The denoiser's at each call, guidance applied, [C, h, w]; with the variance, [2 C, h, w], where the
                                       ///< scheduler learns it. Empty: unknown, of a picture that was inverted.
  /// The same there: one copy of each list, not one a step.
  Trajectory to(torch::Device device) const;
};

/// What a row has of another row's trajectory: the start, the steps before `until_step`, and ever after what lies outside the mask.
struct Following {
  std::shared_ptr<const Trajectory> path;  ///< Null: none; the row is drawn by itself.
  std::int64_t until_step = 0;             ///< First denoising step that the row is drawn by itself.
  torch::Tensor mask;  ///< [h, w] fp32 in [0, 1]: how far a point of the latent is the row's own; where it is 0, not one bit. Undefined: all.
};

/// The rows of one run, and the trajectories they follow.
class Followers {
 public:
  /// Trajectories and masks are copied to where the run is. step_of: the denoising step of a call.
  Followers(const std::vector<const Following*>& rows, torch::Device device, std::function<std::int64_t(std::int64_t call)> step_of);
  /// The denoiser's output at a call, [rows, C, h, w], if it is known of every row; else undefined. latent: the rows', [rows, C, h, w].
  torch::Tensor output(std::int64_t call, const torch::Tensor& latent) const;
  /// The denoiser's output with what is known in its place.
  torch::Tensor merged(std::int64_t call, torch::Tensor output) const;
  /// The rows' latents before a call (the number of calls: at the end), if the scheduler gives `latent`.
  torch::Tensor place(std::int64_t call, torch::Tensor latent) const;

 private:
  bool follows(size_t row, std::int64_t call) const;
  std::vector<Following> rows_;
  std::function<std::int64_t(std::int64_t)> step_of_;
};

}  // namespace glyphscope
