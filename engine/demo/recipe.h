#pragma once

#include <c10/core/Device.h>

#include <filesystem>
#include <string>

#include "demo/signs.h"
#include "io/config.h"

namespace glyphscope {

/// How a demo model is made: configurations of its components in diffusers' and transformers' words, and the training.
// NOLINTNEXTLINE(bugprone-exception-escape): nlohmann does not say that its moves do not throw
struct DemoRecipe {
  std::string name;
  std::string pipeline;  ///< diffusers' class.
  std::uint64_t seed = 1;
  std::filesystem::path init;              ///< Folder of the demo model whose weights training starts from; empty: random ones.
  std::filesystem::path autoencoder_from;  ///< Folder of the demo model whose autoencoder is taken as it is; empty: it is trained.
  nlohmann::ordered_json autoencoder;      ///< Null: pixels themselves are denoised.
  nlohmann::ordered_json text_encoder, denoiser, scheduler;
  nlohmann::ordered_json t5;  ///< sign-mmdit's other text encoder, sign-pixel's only one; null where there is none.
  std::int64_t prompt_tokens = 32;
  std::int64_t signs = 60'000;  ///< Size of the data set whose latents are kept.
  SignData data;
  std::int64_t autoencoder_steps = 6000, autoencoder_batch = 8;
  double autoencoder_rate = 2e-3, kl_weight = 1e-6;
  std::int64_t denoiser_steps = 10'000, denoiser_batch = 64;
  double denoiser_rate = 6e-4, text_weight = 2.0;  ///< Loss weight of latents under the text, 1 elsewhere.
  double empty_prompt_share = 0.1;
  std::int64_t checkpoint_every = 1000, curve_every = 50;
  std::int64_t sampling_steps = 20;  ///< What the finished model is best sampled with.
  double sampling_guidance = 3;
  double report_seconds = 5;       ///< Time between two reports at least.
  c10::Device device = c10::kCPU;  ///< Where it is trained: nothing of the recipe as it is written down.

  nlohmann::ordered_json to_json() const;
};

/// The recipe of `sign-unet`, `sign-mmdit` or `sign-pixel`, or a Failure that lists the names there are. `tiny` shrinks everything so
/// that a test can train it in seconds; it learns nothing.
DemoRecipe demo_recipe(const std::string& name, bool tiny = false);

}  // namespace glyphscope
