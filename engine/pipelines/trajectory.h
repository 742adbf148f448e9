#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace glyphscope {

/// The way of one row's latents from noise to picture: enough to go it again without the denoiser, and to leave it at any step.
struct Trajectory {
  std::vector<torch::Tensor> latents;  ///< Before each denoiser call, and after the last: [C, h, w] fp32.
  std::vector<torch::Tensor> outputs;  ///< What the denoiser said at each call, guidance applied, [C, h, w]; with the variance, [2 C, h, w], where the
                                       ///< scheduler learns it. Empty: unknown, of a picture that was inverted.
};

/// What a row has of another row's way: where it starts, the steps before `leaves`, and ever after what lies outside the mask.
struct Following {
  std::shared_ptr<const Trajectory> path;  ///< Null: the row goes its own way.
  std::int64_t leaves = 0;                 ///< First denoising step at which it goes its own way.
  torch::Tensor mask;                      ///< [h, w] fp32 in [0, 1]: how much of its own way a latent's point goes, where it is 0 not one bit. Undefined: all.
};

/// The rows of one run, and the ways they follow.
class Followers {
 public:
  /// step_of: the denoising step of a call. The rows must outlive this.
  Followers(std::vector<const Following*> rows, std::function<std::int64_t(std::int64_t call)> step_of)
      : rows_(std::move(rows)), step_of_(std::move(step_of)) {}
  /// What all rows' denoiser says at a call, [rows, C, h, w], if it is known of each; else undefined. latent: where they stand, [rows, C, h, w].
  torch::Tensor output(std::int64_t call, const torch::Tensor& latent) const;
  /// The same with what is known in place of what the denoiser said.
  torch::Tensor merged(std::int64_t call, torch::Tensor output) const;
  /// Where the rows stand before a call (the number of calls: at the end), if the scheduler brings them to `latent`.
  torch::Tensor place(std::int64_t call, torch::Tensor latent) const;

 private:
  bool follows(size_t row, std::int64_t call) const;
  std::vector<const Following*> rows_;
  std::function<std::int64_t(std::int64_t)> step_of_;
};

}  // namespace glyphscope
