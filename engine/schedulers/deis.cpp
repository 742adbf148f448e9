#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "schedulers/solver.h"

namespace glyphscope {
namespace {

/// Exponential integrators with polynomials of log rho (arXiv 2204.13902). Source: diffusers `DEISMultistepScheduler`.
struct Deis : Scheduler {
  explicit Deis(const Config& config)
      : spacing(SigmaSpacing::parse(config)),
        order(config.size("solver_order", 2, 1, 3)),
        lower_order_final(config.boolean("lower_order_final", true)),
        shift(DynamicShift::parse(config)),
        thresholding(Thresholding::parse(config)) {
    spacing.lowest = spacing.highest = {};
    spacing.log_linear = spacing.continuous = false;
    spacing.lambda_min_clipped = -1e9;
    if (spacing.curve == SigmaSpacing::Curve::lu) spacing.curve = SigmaSpacing::Curve::table;
    check_solver(spacing, config);
  }
  std::unique_ptr<SchedulerRun> begin(std::int64_t steps, std::int64_t tokens) const override;

  SigmaSpacing spacing;
  std::int64_t order;
  bool lower_order_final;
  DynamicShift shift;
  Thresholding thresholding;
};

struct DeisRun : SolverRun {
  DeisRun(const Deis& deis, const SigmaSpacing& spacing, std::int64_t steps) : SolverRun(spacing.whole(steps), spacing, deis.thresholding), deis(deis) {
    levels_.push_back(spacing.flow || spacing.curve != SigmaSpacing::Curve::table ? levels_.back() : spacing.least());
  }

  torch::Tensor step(const torch::Tensor& output, size_t call, const torch::Tensor& x) override {
    remember(noise(output, call, x), deis.order);
    const bool few = deis.lower_order_final && timesteps_.size() < 15;
    std::int64_t order = std::min<std::int64_t>(deis.order, static_cast<std::int64_t>(estimates_.size()));
    if (is_last(call) && few) order = 1;
    if (call + 2 == timesteps_.size() && few) order = std::min<std::int64_t>(order, 2);
    const SolverPoint now = point(call), next = point(call + 1);
    if (order == 1) return next.alpha / now.alpha * x - next.sigma * std::expm1(next.lambda - now.lambda) * estimates_[0];
    // Lagrange's polynomials of log rho through the estimates, integrated over rho from one level to the next.
    const auto log_rho = [&](size_t back) { return -point(call - back).lambda; };
    torch::Tensor sum = x / now.alpha;
    for (std::int64_t i = 0; i < order; ++i) {
      std::vector<double> others;
      double scale = 1;
      for (std::int64_t k = 0; k < order; ++k)
        if (k != i) {
          others.push_back(log_rho(static_cast<size_t>(k)));
          scale *= log_rho(static_cast<size_t>(i)) - others.back();
        }
      const auto integral = [&](double log) {  // of the product of (log rho - other), at rho = exp(log)
        const double rho = std::exp(log);
        if (others.size() == 1) return rho * (log - 1 - others[0]);
        return rho * (log * log - 2 * log + 2 - (others[0] + others[1]) * (log - 1) + others[0] * others[1]);
      };
      sum = sum + (integral(-next.lambda) - integral(-now.lambda)) / scale * estimates_[static_cast<size_t>(i)];
    }
    return next.alpha * sum;
  }

  Deis deis;
};

std::unique_ptr<SchedulerRun> Deis::begin(std::int64_t steps, std::int64_t tokens) const {
  return std::make_unique<DeisRun>(*this, shift.applied(spacing, tokens), steps);
}

}  // namespace

std::unique_ptr<Scheduler> make_deis(const Config& config) { return std::make_unique<Deis>(config); }

}  // namespace glyphscope
