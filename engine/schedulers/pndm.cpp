#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "schedulers/scheduler.h"

namespace glyphscope {
namespace {

/// Pseudo linear multi-step method (arXiv 2202.09778), without Runge-Kutta start, as published Stable Diffusion 1 folders have it, or with it, which
/// asks four times at each of the first three steps. Source: diffusers `PNDMScheduler`.
struct Pndm : Scheduler {
  explicit Pndm(const Config& config)
      : schedule(NoiseSchedule::parse(config)),
        spacing(config.text("timestep_spacing", "leading")),
        offset(config.integer("steps_offset", 0)),
        final_alpha(config.boolean("set_alpha_to_one", false) ? 1.0 : schedule.alphas_cumprod[0].item<double>()),
        // Another class's configuration has no such key; the start without Runge-Kutta steps is what models are published with.
        runge_kutta(config.text("_class_name", "") == "PNDMScheduler" && !config.boolean("skip_prk_steps", false)) {
    // As diffusers' `_get_prev_sample` refuses others.
    if (schedule.prediction != Prediction::epsilon && schedule.prediction != Prediction::v)
      reject("PNDM goes with models that predict epsilon or v, not with '" + config.text("prediction_type", "") + "'", config.where(),
             "Choose another scheduler, ddim for example");
  }
  std::unique_ptr<SchedulerRun> begin(std::int64_t steps, std::int64_t tokens) const override;

  NoiseSchedule schedule;
  std::string spacing;
  std::int64_t offset;
  double final_alpha;
  bool runge_kutta;
};

struct PndmRun : SchedulerRun {
  PndmRun(const Pndm& pndm, std::int64_t steps) : pndm(pndm), stride(pndm.schedule.steps() / steps) {
    timesteps_ = spaced_timesteps(pndm.spacing, steps, pndm.schedule.steps(), pndm.offset);
    if (pndm.runge_kutta) {
      if (steps < 4) reject("PNDM with its Runge-Kutta start takes 4 steps or more", "scheduler", "Take more steps, or set skip_prk_steps to true");
      // At a step, half a step further twice, and at the next step.
      const std::int64_t half = stride / 2;
      std::vector<double> calls;
      for (size_t i = 0; i < 3; ++i) {
        const double now = timesteps_[i], next = timesteps_[i + 1], middle = next + static_cast<double>(half);
        calls.insert(calls.end(), {now, middle, middle, next});
      }
      timesteps_.erase(timesteps_.begin(), timesteps_.begin() + 3);
      timesteps_.insert(timesteps_.begin(), calls.begin(), calls.end());
    } else if (steps > 1) {
      // The second timestep is used twice: its first call is the corrector of the first step.
      timesteps_.insert(timesteps_.begin() + 1, timesteps_[1]);
    }
  }

  bool starts(size_t call) const { return pndm.runge_kutta && call < 12; }
  std::int64_t step_of(size_t call) const override {
    if (starts(call)) return static_cast<std::int64_t>(call / 4);
    const auto at = static_cast<std::int64_t>(call);
    return pndm.runge_kutta ? at - 9 : std::max<std::int64_t>(at - 1, 0);
  }

  // The classical fourth order: each of a step's calls begins where the step does.
  torch::Tensor runge_kutta(const torch::Tensor& output, size_t call, const torch::Tensor& x) {
    const size_t stage = call % 4;
    const auto now = static_cast<std::int64_t>(timesteps_[call - stage]),
               next = static_cast<std::int64_t>(timesteps_[call]) - (stage % 2 == 0 ? stride / 2 : 0);
    torch::Tensor direction = output;
    if (stage == 0) {
      first = x;
      history.push_back(output);
      sum = output / 6;
    } else if (stage < 3) {
      sum = sum + output / 3;
    } else {
      direction = sum + output / 6;
    }
    return moved(first, now, next, direction);
  }

  torch::Tensor step(const torch::Tensor& output, size_t call, const torch::Tensor& x) override {
    if (starts(call)) return runge_kutta(output, call, x);
    auto t = static_cast<std::int64_t>(timesteps_.at(call)), previous = t - stride;
    torch::Tensor sample = x, direction = output;
    if (call == 1 && !pndm.runge_kutta) {
      previous = t;
      t += stride;
      direction = (output + history.back()) / 2;
      sample = first;
    } else {
      if (history.size() > 3) history.erase(history.begin());
      history.push_back(output);
      if (call == 0) first = x;
      auto past = [&](size_t i) -> const torch::Tensor& { return history[history.size() - 1 - i]; };
      switch (history.size()) {
        case 1:
          break;
        case 2:
          direction = (3 * past(0) - past(1)) / 2;
          break;
        case 3:
          direction = (23 * past(0) - 16 * past(1) + 5 * past(2)) / 12;
          break;
        default:
          direction = (55 * past(0) - 59 * past(1) + 37 * past(2) - 9 * past(3)) / 24;
      }
    }
    return moved(sample, t, previous, direction);
  }

  torch::Tensor moved(const torch::Tensor& sample, std::int64_t t, std::int64_t previous, torch::Tensor direction) const {
    const torch::Tensor& table = pndm.schedule.alphas_cumprod;
    const double a = table[t].item<double>(), a_next = previous >= 0 ? table[previous].item<double>() : pndm.final_alpha;
    if (pndm.schedule.prediction == Prediction::v) direction = std::sqrt(a) * direction + std::sqrt(1 - a) * sample;
    // Equation 9 of the paper.
    const double denominator = a * std::sqrt(1 - a_next) + std::sqrt(a * (1 - a) * a_next);
    return std::sqrt(a_next / a) * sample - (a_next - a) / denominator * direction;
  }

  Pndm pndm;
  std::int64_t stride;
  std::vector<torch::Tensor> history;
  torch::Tensor first, sum;  // the latent that a step began with; the directions of its calls so far
};

std::unique_ptr<SchedulerRun> Pndm::begin(std::int64_t steps, std::int64_t) const {
  check_steps(steps, schedule.steps());
  return std::make_unique<PndmRun>(*this, steps);
}

}  // namespace

std::unique_ptr<Scheduler> make_pndm(const Config& config) { return std::make_unique<Pndm>(config); }

}  // namespace glyphscope
