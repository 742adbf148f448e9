#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "adapt/lora.h"
#include "adapt/noise_path.h"
#include "adapt/picture_set.h"
#include "adapt/training_samples.h"
#include "adapt/training_table.h"
#include "core/progress.h"
#include "metrics/ocr.h"
#include "models/conditioning.h"
#include "pipelines/pipeline.h"

namespace glyphscope {

enum class RateSchedule { constant, linear, cosine };
/// Throws a Failure that lists the names.
RateSchedule parse_rate_schedule(const std::string& name);
const char* rate_schedule_name(RateSchedule schedule);
/// The learning rate of a step: rises over `warmup` steps, then stays, or falls to zero at `steps` in a line or half a cosine. As diffusers'
/// `get_scheduler` gives it.
double learning_rate(double top, RateSchedule schedule, std::int64_t step, std::int64_t warmup, std::int64_t steps);

/// How an adapter is trained.
struct FinetuneSettings {
  LoraPlan plan;
  std::int64_t steps = 1000, batch = 4, accumulate = 1;
  std::int64_t resolution = 0;  ///< Pixels a side of a square picture; 0: the model's own size.
  double rate = 1e-4;
  RateSchedule schedule = RateSchedule::constant;
  std::int64_t warmup = 0;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0.01, clip_norm = 1.0;
  double dropout = 0, caption_dropout = 0.1;
  double snr_gamma = 0;        ///< Over 0: weighs samples by NoisePath::snr_weight.
  bool checkpointing = false;  ///< See GradientCheckpointing.
  double held_out = 0.1;       ///< Share of the pictures that is not learned from.
  std::int64_t save_every = 250, evaluate_every = 50;
  std::uint64_t seed = 42;
  std::filesystem::path cache;              ///< Of encoded pictures and captions; empty: `out`/cache.
  std::int64_t sample_every = 250;          ///< Steps between two sets of sample pictures.
  std::vector<std::string> sample_prompts;  ///< None: no samples are drawn.
  Request sampling;                         ///< Steps, guidance and scheduler of samples; at the resolution of the training.

  /// All that the adapter depends on, but how long it is trained.
  nlohmann::ordered_json to_json() const;
};

/// What a step learns from.
struct TrainingBatch {
  torch::Tensor clean, noise;  ///< [B, C, h, w]
  torch::Tensor index;         ///< Of timesteps, [B] int64.
  Conditioning conditioning;
};

/// The family's own objective: mean squared error of what the denoiser says, weighted by SNR where gamma is over 0; in the dtype of `clean`.
torch::Tensor training_loss(const NoisePath& path, const std::function<torch::Tensor(const torch::Tensor&, const torch::Tensor&, const Conditioning&)>& denoise,
                            const TrainingBatch& batch, double snr_gamma);

struct FinetuneProgress {
  std::int64_t step = 0, steps = 0;
  std::optional<double> loss;      ///< Mean since the last report, if anything was learned.
  std::optional<double> held_out;  ///< Where it was measured at this step: see TrainingRow.
  double rate = 0, pictures_per_second = 0;
};

struct FinetuneObserver {
  ProgressCallback preparing = [](const Progress&) {};  ///< While pictures and captions are encoded, and while samples are drawn.
  std::function<void(const FinetuneProgress&)> step = [](const FinetuneProgress&) {};
  std::function<void(std::int64_t step, const TrainingSamples::Scores&)> samples = [](std::int64_t, const TrainingSamples::Scores&) {};
  std::function<void(const std::string&)> note = [](const std::string&) {};
};

struct FinetuneResult {
  Lora lora;                 ///< After the last step.
  std::int64_t trained = 0;  ///< Parameters, and bytes of the optimizer's state.
  std::int64_t optimizer_bytes = 0;
  std::optional<double> best_held_out;
};

/// Trains a new adapter for the pipeline's denoiser. In `out`: last.safetensors and best.safetensors (by held-out loss) in diffusers' format,
/// training.csv and .png, samples/ by step, checkpoint/ to resume from, cache/ of encoded pictures and captions. Deterministic by seed on the
/// CPU; stopped at any step and resumed, it gives the same adapter to the bit. A cancelled run saves where it is, and throws. reader: of the text
/// in samples. Throws a Failure.
FinetuneResult finetune(Pipeline& pipeline, const PictureSet& pictures, const FinetuneSettings& settings, const std::filesystem::path& out, bool resume,
                        TextReader& reader, const FinetuneObserver& observer, const CancelToken& cancel);

}  // namespace glyphscope
