#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "core/error.h"
#include "schedulers/solver.h"

namespace glyphscope {
namespace {

/// DPM-Solver and DPM-Solver++ of up to third order, by estimates of earlier steps (arXiv 2211.01095, algorithm 2), of both equations; a variance that the
/// denoiser says is not used. Source: diffusers `DPMSolverMultistepScheduler`.
struct DpmSolver : Scheduler {
  explicit DpmSolver(const Config& config)
      : spacing(SigmaSpacing::parse(config)),
        algorithm(DpmAlgorithm::parse(config)),
        order(config.size("solver_order", 2, 1, 3)),
        lower_order_final(config.boolean("lower_order_final", true)),
        euler_at_final(config.boolean("euler_at_final", false)),
        cosine(config.text("beta_schedule", "") == "squaredcos_cap_v2"),
        shift(DynamicShift::parse(config)),
        thresholding(Thresholding::parse(config)) {
    spacing.log_linear = spacing.continuous = false;
    spacing.lowest = spacing.highest = {};
    check_solver(spacing, config);
    check_noise_prediction(algorithm, spacing, config);
    if (algorithm.stochastic && !algorithm.data && order == 3) reject("sde-dpmsolver has no third order", config.where(), "Set solver_order to 2");
  }
  std::unique_ptr<SchedulerRun> begin(std::int64_t steps, std::int64_t tokens) const override;

  SigmaSpacing spacing;
  DpmAlgorithm algorithm;
  std::int64_t order;
  bool lower_order_final, euler_at_final, cosine;
  DynamicShift shift;
  Thresholding thresholding;
};

struct DpmSolverRun : SolverRun {
  DpmSolverRun(const DpmSolver& solver, const SigmaSpacing& spacing, Sigmas sigmas)
      : SolverRun(std::move(sigmas), spacing, solver.thresholding), solver(solver) {}

  torch::Tensor step(const torch::Tensor& output, size_t call, const torch::Tensor& x) override {
    const DpmAlgorithm& algorithm = solver.algorithm;
    remember(algorithm.data ? clean(output, call, x) : noise(output, call, x), solver.order);
    const bool few = solver.lower_order_final && timesteps_.size() < 15;
    std::int64_t order = std::min<std::int64_t>(solver.order, static_cast<std::int64_t>(estimates_.size()));
    if (is_last(call) && (solver.euler_at_final || few || levels_.back() == 0)) order = 1;
    if (call + 2 == timesteps_.size() && few) order = std::min<std::int64_t>(order, 2);
    const SolverPoint now = point(call), next = point(call + 1);
    const double h = next.lambda - now.lambda;
    if (h == 0) return x;  // a run may end at the level of its last step
    const auto w = algorithm.weights(now, next, static_cast<int>(order));
    torch::Tensor out = w.x * x + w.estimate * estimates_[0];
    if (order > 1) {
      const double r0 = (now.lambda - point(call - 1).lambda) / h;
      const torch::Tensor newer = (estimates_[0] - estimates_[1]) / r0;
      torch::Tensor first = newer;
      if (order > 2) {
        const double r1 = (point(call - 1).lambda - point(call - 2).lambda) / h;
        const torch::Tensor change = newer - (estimates_[1] - estimates_[2]) / r1;
        first = newer + r0 / (r0 + r1) * change;
        out = out + w.second / (r0 + r1) * change;
      }
      out = out + w.first * first;
    }
    return algorithm.stochastic ? out + w.noise * draw_noise() : out;
  }

  DpmSolver solver;
};

std::unique_ptr<SchedulerRun> DpmSolver::begin(std::int64_t steps, std::int64_t tokens) const {
  const SigmaSpacing shifted = shift.applied(spacing, tokens);
  Sigmas sigmas = shifted.whole(steps, cosine);
  sigmas.values.push_back(spacing.ends_at_zero ? 0 : spacing.least());
  return std::make_unique<DpmSolverRun>(*this, shifted, std::move(sigmas));
}

/// The same for models of EDM, whose latents keep their size as noise is added. Source: diffusers `EDMDPMSolverMultistepScheduler`.
struct EdmDpmSolver : DpmSolver {
  explicit EdmDpmSolver(const Config& config) : DpmSolver(config), edm(EdmSpacing::parse(config)) {
    if (!algorithm.data) reject("EDM has no algorithm_type dpmsolver", config.where(), "It has dpmsolver++ and sde-dpmsolver++");
    if (algorithm.stochastic && order == 3) reject("EDM's sde-dpmsolver++ has no third order", config.where(), "Set solver_order to 2");
  }
  std::unique_ptr<SchedulerRun> begin(std::int64_t steps, std::int64_t tokens) const override;
  EdmSpacing edm;
};

struct EdmDpmSolverRun : DpmSolverRun {
  EdmDpmSolverRun(const EdmDpmSolver& solver, Sigmas sigmas) : DpmSolverRun(solver, solver.spacing, std::move(sigmas)), edm(solver.edm) {}
  double initial_scale() const override { return std::sqrt(edm.highest * edm.highest + 1); }
  torch::Tensor scale_input(const torch::Tensor& x, size_t call) const override { return x * Preconditioning::of(edm, levels_[call]).in; }
  SolverPoint point(size_t level) const override { return {1, levels_.at(level), -std::log(levels_.at(level))}; }
  torch::Tensor clean(const torch::Tensor& output, size_t call, const torch::Tensor& x) const override {
    const Preconditioning how = Preconditioning::of(edm, levels_[call]);
    return thresholding_.apply(how.skip * x + how.out * output);
  }
  EdmSpacing edm;
};

std::unique_ptr<SchedulerRun> EdmDpmSolver::begin(std::int64_t steps, std::int64_t) const {
  return std::make_unique<EdmDpmSolverRun>(*this, edm.sigmas(steps));
}

/// The same, of one step each: the orders of the steps follow one another, and each begins where the first of them did. Source: diffusers
/// `DPMSolverSinglestepScheduler`.
struct DpmSolverSingle : Scheduler {
  explicit DpmSolverSingle(const Config& config)
      : spacing(SigmaSpacing::parse(config)),
        algorithm(DpmAlgorithm::parse(config)),
        order(config.size("solver_order", 2, 1, 3)),
        lower_order_final(config.boolean("lower_order_final", false)),
        shift(DynamicShift::parse(config)),
        thresholding(Thresholding::parse(config)) {
    spacing.spacing = "linspace";
    spacing.offset = 0;
    spacing.log_linear = spacing.continuous = false;
    spacing.lowest = spacing.highest = {};
    if (spacing.curve == SigmaSpacing::Curve::lu) spacing.curve = SigmaSpacing::Curve::table;
    check_solver(spacing, config);
    check_noise_prediction(algorithm, spacing, config);
    if (algorithm.stochastic && !algorithm.data) reject("the single-step solver has no sde-dpmsolver", config.where(), "It has sde-dpmsolver++");
  }
  std::unique_ptr<SchedulerRun> begin(std::int64_t steps, std::int64_t tokens) const override;

  // The order of each step.
  std::vector<int> orders(std::int64_t steps) const {
    const bool lower = lower_order_final || steps % order != 0 || spacing.ends_at_zero;
    std::vector<int> out;
    for (std::int64_t i = 0; i < steps; ++i) out.push_back(static_cast<int>(i % order) + 1);
    if (lower && order == 3 && steps % 3 == 0) out[static_cast<size_t>(steps) - 1] = 1;
    if (lower && order == 2 && steps % 2 == 0) out[static_cast<size_t>(steps) - 1] = 1;
    if (spacing.ends_at_zero) out.back() = 1;
    return out;
  }

  SigmaSpacing spacing;
  DpmAlgorithm algorithm;
  std::int64_t order;
  bool lower_order_final;
  DynamicShift shift;
  Thresholding thresholding;
};

struct DpmSolverSingleRun : SolverRun {
  DpmSolverSingleRun(const DpmSolverSingle& solver, const SigmaSpacing& spacing, std::int64_t steps)
      : SolverRun(spacing.whole(steps), spacing, solver.thresholding), solver(solver), orders(solver.orders(steps)) {
    levels_.push_back(spacing.ends_at_zero ? 0 : spacing.least());
  }

  torch::Tensor step(const torch::Tensor& output, size_t call, const torch::Tensor& x) override {
    const auto& algorithm = solver.algorithm;
    remember(algorithm.data ? clean(output, call, x) : noise(output, call, x), 3);
    const auto order = static_cast<size_t>(orders[call]);
    if (order == 1) start = x;
    const SolverPoint from = point(call + 1 - order), next = point(call + 1);
    const double h = next.lambda - from.lambda;
    const auto w = algorithm.weights(from, next, algorithm.heun ? static_cast<int>(order) : order == 3 ? 3 : 2);
    const torch::Tensor& oldest = estimates_[order - 1];
    torch::Tensor out = w.x * start + w.estimate * oldest;
    const auto difference = [&](size_t at) {  // per h, of the estimate at a call to the oldest
      return (estimates_[call - at] - oldest) / ((point(at).lambda - from.lambda) / h);
    };
    if (order == 2) out = out + w.first * difference(call);
    if (order == 3) {
      const double r0 = (point(call).lambda - from.lambda) / h, r1 = (point(call - 1).lambda - from.lambda) / h;
      const torch::Tensor near = difference(call - 1), far = difference(call);
      if (algorithm.heun)
        out = out + w.first * (r0 * near - r1 * far) / (r0 - r1) + w.second * 2 * (far - near) / (r0 - r1);
      else
        out = out + w.first * far;
    }
    return algorithm.stochastic ? out + w.noise * draw_noise() : out;
  }

  DpmSolverSingle solver;
  std::vector<int> orders;
  torch::Tensor start;  // of the steps whose orders follow one another
};

std::unique_ptr<SchedulerRun> DpmSolverSingle::begin(std::int64_t steps, std::int64_t tokens) const {
  return std::make_unique<DpmSolverSingleRun>(*this, shift.applied(spacing, tokens), steps);
}

}  // namespace

std::unique_ptr<Scheduler> make_dpm_solver(const Config& config) { return std::make_unique<DpmSolver>(config); }
std::unique_ptr<Scheduler> make_edm_dpm_solver(const Config& config) { return std::make_unique<EdmDpmSolver>(config); }
std::unique_ptr<Scheduler> make_dpm_solver_single(const Config& config) { return std::make_unique<DpmSolverSingle>(config); }

}  // namespace glyphscope
