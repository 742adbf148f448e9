#include <ATen/ops/linalg_solve.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "schedulers/solver.h"

namespace glyphscope {
namespace {

/// Unified predictor and corrector (arXiv 2302.04867): each step's estimate corrects the step before it. Source: diffusers `UniPCMultistepScheduler`.
struct UniPc : Scheduler {
  explicit UniPc(const Config& config)
      : spacing(SigmaSpacing::parse(config)),
        order(config.size("solver_order", 2, 1, 8)),
        data(config.boolean("predict_x0", true)),
        lower_order_final(config.boolean("lower_order_final", true)),
        linear(config.text("solver_type", "bh2") == "bh1"),
        shift(DynamicShift::parse(config)),
        terminal(config.number("shift_terminal", 0, 0, 1)),
        thresholding(Thresholding::parse(config)) {
    using Curve = SigmaSpacing::Curve;
    spacing.log_linear = spacing.continuous = false;
    spacing.lambda_min_clipped = -1e9;
    if (spacing.curve == Curve::lu) spacing.curve = Curve::table;
    if (spacing.flow && spacing.curve != Curve::table && spacing.curve != Curve::karras) check_solver(spacing, config);
    // Names of its relatives' are read as bh2, as diffusers does.
    const std::string solver = config.text("solver_type", "bh2");
    if (!std::set<std::string>{"bh1", "bh2", "midpoint", "heun", "logrho"}.contains(solver))
      reject("unknown solver_type '" + solver + "'", config.where(), "Known are bh1 and bh2");
    config.require("solver_p", nullptr);
    if (config.has("disable_corrector") && config.json()["disable_corrector"] != nlohmann::json::array())
      for (const double step : config.numbers("disable_corrector")) uncorrected.insert(static_cast<std::int64_t>(step));
    if (!data && spacing.ends_at_zero)
      reject("final_sigmas_type 'zero' does not go with predict_x0 false", config.where(), "Set final_sigmas_type to sigma_min, or predict_x0 to true");
    if (!lower_order_final && order > 1 && spacing.ends_at_zero)
      reject("lower_order_final false does not go with a run that ends without noise: the last step would divide by it", config.where(),
             "Set lower_order_final to true, or final_sigmas_type to sigma_min");
    if (!data && spacing.flow) reject("predict_x0 false does not go with a model that predicts a flow", config.where(), "Set predict_x0 to true");
    if (const std::string type = config.text("time_shift_type", "exponential"); shift.on && type != "exponential" && type != "linear")
      reject("unknown time_shift_type '" + type + "'", config.where(), "Known are exponential and linear");
    linear_shift = config.text("time_shift_type", "exponential") == "linear";
  }
  std::unique_ptr<SchedulerRun> begin(std::int64_t steps, std::int64_t tokens) const override;

  // Where the run ends is part of it.
  Sigmas sigmas(std::int64_t steps, std::int64_t tokens) const {
    const bool on_curve = spacing.curve != SigmaSpacing::Curve::table;
    Sigmas out;
    if (spacing.flow) {
      const auto length = static_cast<double>(spacing.schedule.steps());
      check_steps(steps, spacing.schedule.steps() - 1);
      if (on_curve) {
        const torch::Tensor table = spacing.schedule.sigmas();
        out.values = along(spacing.curve, spacing.highest.value_or(table[-1].item<double>()), spacing.lowest.value_or(table[0].item<double>()), steps);
        for (double& one : out.values) one = one / (one + 1);
      } else {
        out.values = linspace(1, 1 / length, steps + 1);
        out.values.pop_back();
        const double times = !shift.on ? spacing.flow_shift : linear_shift ? shift.mu(tokens) : std::exp(shift.mu(tokens));
        for (double& one : out.values) one = times * one / (1 + (times - 1) * one);
        if (const double rest = 1 - out.values.back(); terminal > 0 && rest > 0)
          for (double& one : out.values) one = 1 - (1 - one) / (rest / (1 - terminal));
        if (std::abs(out.values[0] - 1) < 1e-6) out.values[0] -= 1e-6;
      }
      for (const double one : out.values) out.timesteps.push_back(std::trunc(one * length));
    } else {
      out = spacing.whole(steps);
    }
    out.values.push_back(spacing.ends_at_zero ? 0 : on_curve || spacing.flow ? out.values.back() : spacing.least());
    for (double& one : out.values) one = static_cast<double>(static_cast<float>(one));
    return out;
  }

  SigmaSpacing spacing;
  std::int64_t order;
  bool data, lower_order_final, linear, linear_shift = false;
  DynamicShift shift;
  double terminal;
  std::set<std::int64_t> uncorrected;
  Thresholding thresholding;
};

struct UniPcRun : SolverRun {
  UniPcRun(const UniPc& unipc, Sigmas sigmas) : SolverRun(std::move(sigmas), unipc.spacing, unipc.thresholding), unipc(unipc) {}

  torch::Tensor step(const torch::Tensor& output, size_t call, const torch::Tensor& latent) override {
    torch::Tensor x = latent;
    const torch::Tensor estimate = unipc.data ? clean(output, call, x) : noise(output, call, x);
    if (call > 0 && !unipc.uncorrected.contains(static_cast<std::int64_t>(call) - 1)) x = advanced(call - 1, before, order, estimate);
    remember(estimate, unipc.order);
    order = unipc.order;
    if (unipc.lower_order_final) order = std::min(order, static_cast<std::int64_t>(timesteps_.size() - call));
    order = std::min(order, static_cast<std::int64_t>(call) + 1);
    before = x;
    return advanced(call, x, order, {});
  }

  // The latent after a call from the one before it, by as many estimates as the order, and that of the call after it where it is known.
  torch::Tensor advanced(size_t call, const torch::Tensor& x, std::int64_t order, const torch::Tensor& after) const {
    const SolverPoint from = point(call), to = point(call + 1);
    const double h = to.lambda - from.lambda, hh = unipc.data ? -h : h;
    if (h == 0) return x;
    const double grown = std::expm1(hh), scale = unipc.linear ? hh : grown;
    torch::Tensor out =
        unipc.data ? to.sigma / from.sigma * x - to.alpha * grown * estimates_[0] : to.alpha / from.alpha * x - to.sigma * grown * estimates_[0];
    // Nodes: the earlier calls, and the one after it as the last. Weights solve for the integrals of exp by the powers of the nodes.
    std::vector<double> nodes;
    std::vector<torch::Tensor> slopes;
    for (std::int64_t i = 1; i < order; ++i) {
      nodes.push_back((point(call - static_cast<size_t>(i)).lambda - from.lambda) / h);
      slopes.push_back((estimates_[static_cast<size_t>(i)] - estimates_[0]) / nodes.back());
    }
    if (after.defined()) {
      nodes.push_back(1);
      slopes.push_back(after - estimates_[0]);
    }
    const std::vector<double> weights = solve(nodes, hh, scale);
    torch::Tensor sum;
    for (size_t i = 0; i < slopes.size(); ++i) sum = sum.defined() ? sum + weights[i] * slopes[i] : weights[i] * slopes[i];
    return sum.defined() ? out - (unipc.data ? to.alpha : to.sigma) * scale * sum : out;
  }

  static std::vector<double> solve(const std::vector<double>& nodes, double hh, double scale) {
    const auto count = static_cast<std::int64_t>(nodes.size());
    if (count == 0) return {};
    if (count == 1) return {0.5};
    torch::Tensor powers = torch::empty({count, count}, torch::kFloat64), integrals = torch::empty({count}, torch::kFloat64);
    double phi = std::expm1(hh) / hh - 1, factorial = 1;
    for (std::int64_t i = 0; i < count; ++i) {
      for (std::int64_t k = 0; k < count; ++k) powers[i][k] = std::pow(nodes[static_cast<size_t>(k)], static_cast<double>(i));
      integrals[i] = phi * factorial / scale;
      factorial *= static_cast<double>(i + 2);
      phi = phi / hh - 1 / factorial;
    }
    const torch::Tensor solved = at::linalg_solve(powers, integrals);
    return {solved.data_ptr<double>(), solved.data_ptr<double>() + count};
  }

  UniPc unipc;
  std::int64_t order = 0;  // of the step before
  torch::Tensor before;    // the latent that it began with
};

std::unique_ptr<SchedulerRun> UniPc::begin(std::int64_t steps, std::int64_t tokens) const { return std::make_unique<UniPcRun>(*this, sigmas(steps, tokens)); }

}  // namespace

std::unique_ptr<Scheduler> make_unipc(const Config& config) { return std::make_unique<UniPc>(config); }

}  // namespace glyphscope
