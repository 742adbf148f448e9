#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "schedulers/solver.h"

namespace glyphscope {
namespace {

/// Euler's method for flow matching: x moves along the predicted velocity noise - clean (arXiv 2403.03206).
/// Source: diffusers `FlowMatchEulerDiscreteScheduler`, and `calculate_shift` of its FLUX pipeline, which gives even steps to shift.
struct FlowEuler : Scheduler {
  explicit FlowEuler(const Config& config)
      : length(config.size("num_train_timesteps", 1000, 1, 100000)),
        shift(config.number("shift", 1.0, 1e-3, 1e3)),
        even(config.boolean("even_sigmas", false)),
        inverted(config.boolean("invert_sigmas", false)),
        stochastic(config.boolean("stochastic_sampling", false)),
        linear(config.text("time_shift_type", "exponential") == "linear"),
        terminal(config.number("shift_terminal", 0, 0, 1)),
        dynamic(DynamicShift::parse(config)) {
    const std::string type = config.text("time_shift_type", "exponential");
    if (type != "exponential" && type != "linear") reject("unknown time_shift_type '" + type + "'", config.where(), "Known are exponential and linear");
    using Curve = SigmaSpacing::Curve;
    for (const auto& [key, known] :
         {std::pair{"use_karras_sigmas", Curve::karras}, {"use_exponential_sigmas", Curve::exponential}, {"use_beta_sigmas", Curve::beta}})
      if (config.boolean(key, false)) curve = known;
    if (inverted && curve != Curve::table) reject("invert_sigmas does not go with a curve of noise levels", config.where());
  }
  std::unique_ptr<SchedulerRun> begin(std::int64_t steps, std::int64_t tokens) const override;

  double shifted(double sigma) const { return shift * sigma / (1 + (shift - 1) * sigma); }

  std::vector<double> levels(std::int64_t steps, std::int64_t tokens) const {
    check_steps(steps, length);
    const double n = static_cast<double>(length), top = dynamic.on ? 1 : shifted(1), bottom = dynamic.on ? 1 / n : shifted(1 / n);
    // The reference shifts the already shifted ends once more; images depend on it.
    std::vector<double> out = even ? linspace(1, 1 / static_cast<double>(steps), steps) : linspace(top, bottom, steps);
    // The larger the picture, the more of the steps are spent where it is noisy.
    const double mu = dynamic.mu(tokens), times = linear ? mu : std::exp(mu);
    for (double& one : out) one = dynamic.on ? times / (times + 1 / one - 1) : shifted(one);
    if (const double rest = 1 - out.back(); terminal > 0 && rest > 0)
      for (double& one : out) one = 1 - (1 - one) / (rest / (1 - terminal));
    if (curve != SigmaSpacing::Curve::table) out = along(curve, out.front(), out.back(), steps);
    for (double& one : out) one = static_cast<double>(static_cast<float>(inverted ? 1 - one : one));
    out.push_back(inverted ? 1 : 0);
    return out;
  }

  std::int64_t length;
  double shift;
  bool even, inverted, stochastic, linear;
  double terminal;  // the last level before none, if any
  DynamicShift dynamic;
  SigmaSpacing::Curve curve = SigmaSpacing::Curve::table;
};

struct FlowEulerRun : SchedulerRun {
  FlowEulerRun(const FlowEuler& flow, std::int64_t steps, std::int64_t tokens) : levels(flow.levels(steps, tokens)), stochastic(flow.stochastic) {
    for (size_t i = 0; i + 1 < levels.size(); ++i) timesteps_.push_back(levels[i] * static_cast<double>(flow.length));
  }

  torch::Tensor step(const torch::Tensor& output, size_t call, const torch::Tensor& x) override {
    const double now = levels.at(call), next = levels[call + 1];
    if (!stochastic) return x + (next - now) * output;
    return (1 - next) * (x - now * output) + next * draw_noise();
  }

  bool reversible() const override { return !stochastic; }
  torch::Tensor step_back(const torch::Tensor& output, size_t call, const torch::Tensor& next) const override {
    if (stochastic) return SchedulerRun::step_back(output, call, next);
    return next - (levels.at(call + 1) - levels.at(call)) * output;
  }

  std::vector<double> levels;
  bool stochastic;
};

std::unique_ptr<SchedulerRun> FlowEuler::begin(std::int64_t steps, std::int64_t tokens) const { return std::make_unique<FlowEulerRun>(*this, steps, tokens); }

/// Heun's method for the same. Source: diffusers `FlowMatchHeunDiscreteScheduler`.
struct FlowHeun : FlowEuler {
  using FlowEuler::FlowEuler;
  std::unique_ptr<SchedulerRun> begin(std::int64_t steps, std::int64_t tokens) const override;
};

struct FlowHeunRun : SchedulerRun {
  FlowHeunRun(const FlowHeun& flow, std::int64_t steps, std::int64_t tokens) : levels(flow.levels(steps, tokens)) {
    for (size_t i = 0; i + 1 < levels.size(); ++i)
      for (int call = 0; call < (i == 0 ? 1 : 2); ++call) timesteps_.push_back(levels[i] * static_cast<double>(flow.length));
  }
  std::int64_t step_of(size_t call) const override { return static_cast<std::int64_t>(call / 2); }

  torch::Tensor step(const torch::Tensor& output, size_t call, const torch::Tensor& x) override {
    const size_t at = call / 2;
    const double move = levels.at(at + 1) - levels[at];
    if (call % 2 == 1) return before + move * (slope + output) / 2;
    before = x;
    slope = output;
    return x + move * output;
  }

  std::vector<double> levels;
  torch::Tensor before, slope;
};

std::unique_ptr<SchedulerRun> FlowHeun::begin(std::int64_t steps, std::int64_t tokens) const { return std::make_unique<FlowHeunRun>(*this, steps, tokens); }

}  // namespace

std::unique_ptr<Scheduler> make_flow_euler(const Config& config) { return std::make_unique<FlowEuler>(config); }

// Of models distilled to few steps: each step says where the path ends, and goes back part of the way with noise. Source: diffusers `FlowMatchLCMScheduler`.
std::unique_ptr<Scheduler> make_flow_lcm(const Config& config) {
  config.require("scale_factors", nullptr);  // pictures that grow from step to step
  nlohmann::json changed = config.json();
  changed["stochastic_sampling"] = true;
  changed["even_sigmas"] = false;  // a key of FlowMatchEulerDiscreteScheduler alone
  return std::make_unique<FlowEuler>(Config(changed, config.where()));
}

std::unique_ptr<Scheduler> make_flow_heun(const Config& config) {
  // The class has a shift, and no other key.
  nlohmann::json known = {{"num_train_timesteps", config.integer("num_train_timesteps", 1000)}, {"shift", config.number("shift", 1.0)}};
  return std::make_unique<FlowHeun>(Config(known, config.where()));
}

}  // namespace glyphscope
