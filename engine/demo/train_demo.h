#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "core/progress.h"
#include "io/config.h"

namespace glyphscope {

/// How a demo model is made: configurations of its components in diffusers' and transformers' words, and the training.
// NOLINTNEXTLINE(bugprone-exception-escape): nlohmann does not say that its moves do not throw
struct DemoRecipe {
  std::string name;
  std::uint64_t seed = 1;
  nlohmann::ordered_json autoencoder, text_encoder, unet, scheduler;
  std::int64_t prompt_tokens = 32;
  std::int64_t signs = 60'000;  ///< Size of the data set whose latents are kept.
  std::int64_t autoencoder_steps = 6000, autoencoder_batch = 8;
  double autoencoder_rate = 2e-3, kl_weight = 1e-6;
  std::int64_t denoiser_steps = 10'000, denoiser_batch = 64;
  double denoiser_rate = 6e-4, text_weight = 2.0;  ///< Loss weight of latents under the text, 1 elsewhere.
  double empty_prompt_share = 0.1;
  std::int64_t checkpoint_every = 1000, curve_every = 50;
  double report_seconds = 5;  ///< Time between two reports at least.

  nlohmann::ordered_json to_json() const;
};

/// The recipe of `sign-unet`, or a Failure that lists the names there are. `tiny` shrinks everything so that a test can
/// train it in seconds; it learns nothing.
DemoRecipe demo_recipe(const std::string& name, bool tiny = false);

struct DemoProgress {
  std::string stage;  ///< "autoencoder", "latents" or "denoiser".
  std::int64_t step = 0, steps = 0;
  double loss = 0;  ///< Mean since the last report.
  double samples_per_second = 0;
};

/// Trains a demo model from scratch into `out`: checkpoints while it runs, and at the end (or when cancelled) a diffusers
/// folder `out`/model with the averaged weights in fp16; training.csv and a picture of each stage's loss beside it. With `resume` it goes on from the
/// checkpoints, to the step: the result equals that of an uninterrupted run bit for bit (same machine, same number of threads). Without it, an `out` that holds
/// checkpoints is refused; with it, one whose checkpoints are of another recipe, seed or vocabulary.
void train_demo(const DemoRecipe& recipe, const std::filesystem::path& out, bool resume, const std::function<void(const DemoProgress&)>& report,
                const CancelToken& cancel);

}  // namespace glyphscope
