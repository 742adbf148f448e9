#pragma once

#include <torch/types.h>

#include <utility>

namespace glyphscope {

/// What a denoiser reads beside latent and timestep, a row each.
struct Conditioning {
  torch::Tensor embedding;  ///< The prompt's tokens, [B, T, width].
  torch::Tensor pooled;     ///< SDXL and SD 3: the pooled prompt, [B, width]. DeepFloyd IF: the tokens it pools, if not `embedding`.
  torch::Tensor time_ids;   ///< SDXL: original size, crop and target size, [B, 6]; its refiner: size, crop, aesthetic score, [B, 5].
                            ///< DeepFloyd IF's stage II: its noise level, [B]. FLUX: the guidance that it reads, [B].
  torch::Tensor picture;    ///< DeepFloyd IF's stage II: the noised picture that it enlarges, [B, 3, H, W].

  Conditioning(torch::Tensor embedding, torch::Tensor pooled = {}, torch::Tensor time_ids = {})
      : embedding(std::move(embedding)), pooled(std::move(pooled)), time_ids(std::move(time_ids)) {}
};

/// Sinusoidal embedding of timesteps [B] -> [B, width] in fp32. Source: diffusers `get_timestep_embedding`.
torch::Tensor timestep_embedding(const torch::Tensor& timestep, std::int64_t width, bool flip_sin_to_cos, double freq_shift);

}  // namespace glyphscope
