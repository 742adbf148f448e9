#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "adapt/finetune_settings.h"
#include "adapt/lora_file.h"
#include "adapt/noise_path.h"
#include "adapt/picture_set.h"
#include "adapt/training_row.h"
#include "adapt/training_samples.h"
#include "core/processes.h"
#include "core/progress.h"
#include "metrics/ocr.h"
#include "models/conditioning.h"
#include "pipelines/pipeline.h"

namespace glyphscope {

/// What a step learns from.
struct TrainingBatch {
  torch::Tensor clean, noise;  ///< [B, C, h, w]
  torch::Tensor index;         ///< Of timesteps, [B] int64, on the host.
  Conditioning conditioning;
};

/// The family's own objective: mean squared error of what the denoiser says, weighted by SNR where gamma is over 0; in the dtype of `clean`.
torch::Tensor training_loss(const NoisePath& path, const std::function<torch::Tensor(const torch::Tensor&, const torch::Tensor&, const Conditioning&)>& denoise,
                            const TrainingBatch& batch, double snr_gamma);

struct FinetuneObserver {
  ProgressCallback preparing = [](const Progress&) {};  ///< While pictures and captions are encoded, and while samples are drawn.
  std::function<void(const FinetuneProgress&)> step = [](const FinetuneProgress&) {};
  std::function<void(std::int64_t step, const TrainingSamples::Scores&)> samples = [](std::int64_t, const TrainingSamples::Scores&) {};
  std::function<void(const std::string&)> note = [](const std::string&) {};
  /// Asked between two pictures that are encoded or held out, and between two batches; if it says yes, `interlude` is called, with the model as it was
  /// before the training: it may be used for something else.
  std::function<bool()> interrupted = [] { return false; };
  std::function<void()> interlude = [] {};
};

struct FinetuneResult {
  Adapter adapter;                          ///< After the last step.
  std::int64_t steps = 0;                   ///< That were made: more than were asked for, if a longer training was resumed.
  std::int64_t trained = 0, all_sites = 0;  ///< Parameters; and how many the same adapter would have on every site.
  std::int64_t optimizer_bytes = 0, all_sites_optimizer_bytes = 0;
  std::optional<double> best_held_out;
  nlohmann::ordered_json document;  ///< finetune.json
};

/// A loss that is not a number, or has grown past hope. What was saved before stays.
class Diverged : public Failure {
 public:
  using Failure::Failure;
};

/// Texts that a model learns to write tell nothing of those that it does not: a note on how many of the prompts ask for a text, whatever its case, that is
/// in a caption learned from. Empty: none does.
std::string note_on_known_texts(const PictureSet& pictures, const std::vector<std::string>& prompts);

/// Trains a new adapter for the pipeline's denoiser, and for its text encoders if they are named. In `out`: finetune.json at the end, last.safetensors and
/// best.safetensors (by held-out loss) in diffusers' format (LoHa and LoKr, for which it has no names, in LyCORIS'), training.csv and .png, samples/ by step,
/// checkpoint/ to resume from, cache/ of encoded pictures and captions. Deterministic by seed on the CPU; stopped at any step and resumed, it gives the same
/// adapter to the bit. A cancelled run saves where it is, and throws. reader: of the text in samples; null where none are drawn. processes: that train
/// together, each a part of every batch, or null; all see the same folders. What N of them learn with a batch is what one learns with it, but for the order of
/// sums and the adapter's dropout; the first alone writes, draws samples and speaks, and it saves when another is lost. Throws a Failure; Diverged, if that is
/// what happened.
FinetuneResult finetune(Pipeline& pipeline, const PictureSet& pictures, const FinetuneSettings& settings, const std::filesystem::path& out, bool resume,
                        TextReader* reader, const FinetuneObserver& observer, const CancelToken& cancel, Processes* processes = nullptr);

}  // namespace glyphscope
