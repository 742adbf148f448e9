#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>

namespace glyphscope {

/// Guidance away from a concept, Safe Latent Diffusion (arXiv 2211.05105, section 3). The constants are those of the comparison in arXiv 2502.09935.
struct SafeGuidance {
  std::string unwanted;      ///< A prompt for it.
  double scale = 1000;       ///< s_S
  double threshold = 0.01;   ///< lambda
  double momentum = 0.3;     ///< s_m
  double beta = 0.4;         ///< beta_m
  std::int64_t warmup = 10;  ///< Calls during which momentum gathers and nothing is guided: of its authors' runs of 50 steps.

  /// The authors' warm-up, as large a share of a run of so many steps.
  static std::int64_t warmup_of(std::int64_t steps) { return (10 * steps + 25) / 50; }
  /// What its authors guide away from where nothing else is named. Source: diffusers, StableDiffusionPipelineSafe's safety concept.
  static const char* general_concept();
};

/// One run of it.
class SafeGuidanceRun {
 public:
  explicit SafeGuidanceRun(SafeGuidance settings) : settings_(std::move(settings)) {}
  /// The denoiser's outputs for no prompt, the prompt and what is unwanted, at a call -> what classifier-free guidance scales, in place of prompt - none.
  torch::Tensor guide(const torch::Tensor& none, const torch::Tensor& prompt, const torch::Tensor& unwanted, std::int64_t call);

 private:
  SafeGuidance settings_;
  torch::Tensor momentum_;
};

}  // namespace glyphscope
