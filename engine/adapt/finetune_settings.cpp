#include "adapt/finetune_settings.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "core/error.h"

namespace glyphscope {
using nlohmann::ordered_json;

RateSchedule parse_rate_schedule(const std::string& name) {
  for (auto one : {RateSchedule::constant, RateSchedule::linear, RateSchedule::cosine})
    if (name == rate_schedule_name(one)) return one;
  reject("unknown learning rate schedule '" + name + "'", "--schedule", "Known are constant, linear and cosine");
}

const char* rate_schedule_name(RateSchedule schedule) {
  return schedule == RateSchedule::constant ? "constant" : schedule == RateSchedule::linear ? "linear" : "cosine";
}

double learning_rate(double top, RateSchedule schedule, std::int64_t step, std::int64_t warmup, std::int64_t steps) {
  if (step < warmup) return top * static_cast<double>(step) / static_cast<double>(warmup);
  if (schedule == RateSchedule::constant) return top;
  const double done = static_cast<double>(step - warmup) / static_cast<double>(std::max<std::int64_t>(1, steps - warmup));
  return top * std::max(0.0, schedule == RateSchedule::linear ? 1 - done : 0.5 * (1 + std::cos(std::numbers::pi * done)));
}

ordered_json FinetuneSettings::to_json() const {
  ordered_json out{{"sites", plan.sites},
                   {"every_attention", plan.every_attention},
                   {"projections", plan.projections},
                   {"rank", plan.rank},
                   {"alpha", plan.alpha > 0 ? ordered_json(plan.alpha) : ordered_json("rank")},
                   {"ranks", plan.ranks},
                   {"init", plan.init == LoraInit::gaussian ? "gaussian" : "kaiming"},
                   {"batch", batch},
                   {"accumulate", accumulate},
                   {"resolution", resolution},
                   {"rate", rate},
                   {"schedule", rate_schedule_name(schedule)},
                   {"warmup", warmup},
                   {"betas", {beta1, beta2}},
                   {"eps", eps},
                   {"weight_decay", weight_decay},
                   {"clip_norm", clip_norm},
                   {"dropout", dropout},
                   {"caption_dropout", caption_dropout},
                   {"snr_gamma", snr_gamma},
                   {"checkpointing", checkpointing},
                   {"held_out", held_out},
                   {"seed", seed}};
  if (plan.scale > 0) out["scale"] = plan.scale;
  // A rate that falls falls towards the last step.
  if (schedule != RateSchedule::constant) out["steps"] = steps;
  return out;
}

}  // namespace glyphscope
