#include <torch/types.h>

#include <cmath>

#include "core/error.h"
#include "schedulers/scheduler.h"

namespace glyphscope {
namespace {

/// Euler's method for flow matching: x moves along the predicted velocity noise - clean (arXiv 2403.03206).
/// Source: diffusers `FlowMatchEulerDiscreteScheduler`, and `calculate_shift` of its FLUX pipeline, which gives even steps to shift.
struct FlowEuler : Scheduler {
  explicit FlowEuler(const Config& config)
      : length(config.size("num_train_timesteps", 1000, 1, 100000)),
        shift(config.number("shift", 1.0)),
        dynamic(config.boolean("use_dynamic_shifting", false)),
        even(config.boolean("even_sigmas", false)),
        fewest(config.number("base_image_seq_len", 256)),
        most(config.number("max_image_seq_len", 4096)),
        low(config.number("base_shift", 0.5)),
        high(config.number("max_shift", 1.15)) {
    for (const char* option : {"use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "invert_sigmas", "stochastic_sampling"})
      config.require(option, false);
    config.require("shift_terminal", nullptr);
    if (dynamic && !even) reject("dynamic shifting is known for FLUX alone", config.where());
    if (const std::string type = config.text("time_shift_type", "exponential"); dynamic && type != "exponential")
      reject("time_shift_type '" + type + "' is not supported", config.where());
  }
  std::unique_ptr<SchedulerRun> begin(std::int64_t steps, std::int64_t tokens) const override;

  double shifted(double sigma) const { return shift * sigma / (1 + (shift - 1) * sigma); }
  // The larger the picture, the more of the steps are spent where it is noisy.
  double shifted(double sigma, std::int64_t tokens) const {
    if (!dynamic) return shifted(sigma);
    const double mu = low + (high - low) * (static_cast<double>(tokens) - fewest) / (most - fewest);
    return std::exp(mu) / (std::exp(mu) + 1 / sigma - 1);
  }
  std::int64_t length;
  double shift;
  bool dynamic, even;
  double fewest, most, low, high;  // tokens, and the shifts that go with them
};

struct FlowEulerRun : SchedulerRun {
  FlowEulerRun(const FlowEuler& flow, std::int64_t steps, std::int64_t tokens) {
    const double n = static_cast<double>(flow.length), top = flow.shifted(1.0), bottom = flow.shifted(1.0 / n);
    for (std::int64_t i = 0; i < steps; ++i) {
      const double share = steps == 1 ? 0 : static_cast<double>(i) / static_cast<double>(steps - 1);
      // The reference shifts the already shifted ends once more; images depend on it.
      sigmas.push_back(flow.even ? flow.shifted(1 - static_cast<double>(i) / static_cast<double>(steps), tokens) : flow.shifted(top + share * (bottom - top)));
      timesteps_.push_back(sigmas.back() * n);
    }
    sigmas.push_back(0);
  }

  torch::Tensor step(const torch::Tensor& output, size_t call, const torch::Tensor& x) override { return x + (sigmas.at(call + 1) - sigmas.at(call)) * output; }

  bool reversible() const override { return true; }
  torch::Tensor step_back(const torch::Tensor& output, size_t call, const torch::Tensor& next) const override {
    return next - (sigmas.at(call + 1) - sigmas.at(call)) * output;
  }

  std::vector<double> sigmas;
};

std::unique_ptr<SchedulerRun> FlowEuler::begin(std::int64_t steps, std::int64_t tokens) const {
  check_steps(steps, length);
  return std::make_unique<FlowEulerRun>(*this, steps, tokens);
}

}  // namespace

std::unique_ptr<Scheduler> make_flow_euler(const Config& config) { return std::make_unique<FlowEuler>(config); }

}  // namespace glyphscope
