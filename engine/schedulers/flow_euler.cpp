#include <torch/torch.h>

#include "schedulers/scheduler.h"

namespace glyphscope {
namespace {

/// Euler's method for flow matching: x moves along the predicted velocity noise - clean (arXiv 2403.03206).
/// Source: diffusers `FlowMatchEulerDiscreteScheduler` without dynamic shifting.
struct FlowEuler : Scheduler {
  explicit FlowEuler(const Config& config) : length(config.size("num_train_timesteps", 1000, 1, 100000)), shift(config.number("shift", 1.0)) {
    for (const char* option :
         {"use_dynamic_shifting", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "invert_sigmas", "stochastic_sampling"})
      config.require(option, false);
    config.require("shift_terminal", nullptr);
  }
  std::unique_ptr<SchedulerRun> begin(std::int64_t steps) const override;

  double shifted(double sigma) const { return shift * sigma / (1 + (shift - 1) * sigma); }
  std::int64_t length;
  double shift;
};

struct FlowEulerRun : SchedulerRun {
  FlowEulerRun(const FlowEuler& flow, std::int64_t steps) {
    const double n = static_cast<double>(flow.length), top = flow.shifted(1.0), bottom = flow.shifted(1.0 / n);
    for (std::int64_t i = 0; i < steps; ++i) {
      const double share = steps == 1 ? 0 : static_cast<double>(i) / static_cast<double>(steps - 1);
      // The reference shifts the already shifted ends once more; images depend on it.
      sigmas.push_back(flow.shifted(top + share * (bottom - top)));
      timesteps_.push_back(sigmas.back() * n);
    }
    sigmas.push_back(0);
  }

  torch::Tensor step(const torch::Tensor& output, size_t call, const torch::Tensor& x) override { return x + (sigmas.at(call + 1) - sigmas.at(call)) * output; }

  std::vector<double> sigmas;
};

std::unique_ptr<SchedulerRun> FlowEuler::begin(std::int64_t steps) const {
  check_steps(steps, length);
  return std::make_unique<FlowEulerRun>(*this, steps);
}

}  // namespace

std::unique_ptr<Scheduler> make_flow_euler(const Config& config) { return std::make_unique<FlowEuler>(config); }

}  // namespace glyphscope
