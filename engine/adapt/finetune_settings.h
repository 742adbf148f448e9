#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "adapt/lora_plan.h"

/// How an adapter is trained, without a torch type: a window can include this.
namespace glyphscope {

enum class RateSchedule { constant, linear, cosine };
/// Throws a Failure that lists the names.
RateSchedule parse_rate_schedule(const std::string& name);
const char* rate_schedule_name(RateSchedule schedule);
/// The learning rate of a step: rises over `warmup` steps, then stays, or falls to zero at `steps` in a line or half a cosine. As diffusers'
/// `get_scheduler` gives it.
double learning_rate(double top, RateSchedule schedule, std::int64_t step, std::int64_t warmup, std::int64_t steps);

struct FinetuneSettings {
  LoraPlan plan;
  /// Components ("text_encoder_2") whose attention layers learn too, by the plan's method, rank and alpha; "all": those of the model that can.
  std::vector<std::string> text_encoders;
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
  std::filesystem::path cache;                           ///< Of encoded pictures and captions; empty: `out`/cache.
  std::uint64_t kept_kv_bytes = std::uint64_t{1} << 30;  ///< Memory for K and V of captions at frozen sites, if all of them fit: see PromptKvCache.
  std::int64_t sample_every = 250;                       ///< Steps between two sets of sample pictures.
  std::vector<std::string> sample_prompts;               ///< None: no samples are drawn.
  std::int64_t sample_steps = 0;                         ///< Denoising steps of samples; 0: the model's own. They have the resolution of the training.
  double sample_guidance = -1;                           ///< Negative: the model's own.

  /// All that the adapter depends on, but how long it is trained.
  nlohmann::ordered_json to_json() const;
  /// The same from what to_json() gave; what it does not say is as it is by default. Throws a Failure.
  static FinetuneSettings parse(const nlohmann::json& json);
};

}  // namespace glyphscope
