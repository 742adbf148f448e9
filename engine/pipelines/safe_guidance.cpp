#include "pipelines/safe_guidance.h"

#include <torch/types.h>

namespace glyphscope {

const char* SafeGuidance::general_concept() {
  return "an image showing hate, harassment, violence, suffering, humiliation, harm, suicide, sexual, nudity, bodily fluids, blood, obscene gestures, illegal "
         "activity, drug use, theft, vandalism, weapons, child abuse, brutality, cruelty";
}

// Equations 3, 4 and 6 to 8 of arXiv 2211.05105, in the order in which diffusers' StableDiffusionPipelineSafe takes them.
torch::Tensor SafeGuidanceRun::guide(const torch::Tensor& none, const torch::Tensor& prompt, const torch::Tensor& unwanted, std::int64_t call) {
  const torch::Tensor apart = prompt - unwanted;
  const torch::Tensor scale = (apart.abs() * settings_.scale).clamp_max(1).masked_fill(apart >= settings_.threshold, 0);
  torch::Tensor safety = (unwanted - none) * scale;
  if (!momentum_.defined()) momentum_ = torch::zeros_like(safety);
  safety = safety + settings_.momentum * momentum_;
  momentum_ = settings_.beta * momentum_ + (1 - settings_.beta) * safety;
  const torch::Tensor guidance = prompt - none;
  return call >= settings_.warmup ? guidance - safety : guidance;
}

}  // namespace glyphscope
