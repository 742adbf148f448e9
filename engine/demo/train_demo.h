#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "core/progress.h"
#include "demo/recipe.h"

namespace glyphscope {

struct DemoProgress {
  std::string stage;  ///< "autoencoder", "latents" or "denoiser".
  std::int64_t step = 0, steps = 0;
  double loss = 0;  ///< Mean since the last report.
  double samples_per_second = 0;
};

/// Trains a demo model into `out`: checkpoints while it runs, and at the end (or when cancelled) a diffusers
/// folder `out`/model with the averaged weights in fp16; training.csv and a picture of each stage's loss beside it. With `resume` it goes on from the
/// checkpoints, to the step: the result equals that of an uninterrupted run bit for bit (same machine, same number of threads). Without it, an `out` that holds
/// checkpoints is refused; with it, one whose checkpoints are of another recipe, seed or vocabulary.
void train_demo(const DemoRecipe& recipe, const std::filesystem::path& out, bool resume, const std::function<void(const DemoProgress&)>& report,
                const CancelToken& cancel);

}  // namespace glyphscope
