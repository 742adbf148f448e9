#pragma once

#include <torch/types.h>

#include <utility>
#include <vector>

namespace glyphscope {

/// What a denoiser reads beside latent and timestep, a row each: of these, what its family has.
struct Conditioning {
  torch::Tensor embedding;    ///< The prompt's tokens, [B, T, width].
  torch::Tensor pooled;       ///< SDXL and SD 3: the pooled prompt, [B, width]. DeepFloyd IF: the tokens it pools, if not `embedding`.
  torch::Tensor sizes;        ///< SDXL: original size, crop and target size, [B, 6]; its refiner: size, crop, aesthetic score, [B, 5].
  torch::Tensor noise_level;  ///< DeepFloyd IF's stage II: how far its picture is noised, as a timestep, [B].
  torch::Tensor guidance;     ///< FLUX and consistency models: the guidance as a number, [B].
  torch::Tensor picture;      ///< DeepFloyd IF's stage II: the noised picture that it enlarges, [B, 3, H, W].
  torch::Tensor prompt_mask;  ///< Of models with padded prompts: false where a token is padding that nothing attends to, bool [B, T].

  /// The same there.
  Conditioning to(torch::Device device) const;
};

/// Makes prompts as long as the longest of them: embeddings [B, T, width] and their masks [B, T]. Those without a mask stay as they are.
void pad_prompts(const std::vector<std::pair<torch::Tensor*, torch::Tensor*>>& prompts);

/// The rows of all of them; a field is defined if it is in the first. Prompts with masks are made as long as the longest.
Conditioning joined(const std::vector<Conditioning>& rows);

/// Sinusoidal embedding of timesteps [B] -> [B, width] in fp32. Source: diffusers `get_timestep_embedding`.
torch::Tensor timestep_embedding(const torch::Tensor& timestep, std::int64_t width, bool flip_sin_to_cos, double freq_shift);

}  // namespace glyphscope
