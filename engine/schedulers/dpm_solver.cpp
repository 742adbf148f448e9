#include <torch/types.h>

#include <cmath>

#include "core/error.h"
#include "schedulers/scheduler.h"

namespace glyphscope {
namespace {

/// DPM-Solver++ 2M (arXiv 2211.01095, algorithm 2), midpoint; a variance that the denoiser says is not used. Source: diffusers `DPMSolverMultistepScheduler`.
struct DpmSolver : Scheduler {
  explicit DpmSolver(const Config& config)
      : schedule(NoiseSchedule::parse(config)),
        spacing(config.text("timestep_spacing", "linspace")),
        offset(config.integer("steps_offset", 0)),
        order(config.integer("solver_order", 2)),
        lower_order_final(config.boolean("lower_order_final", true)),
        euler_at_final(config.boolean("euler_at_final", false)),
        zero_final(config.text("final_sigmas_type", "zero") == "zero"),
        thresholding(Thresholding::parse(config)) {
    config.require("algorithm_type", "dpmsolver++");
    config.require("solver_type", "midpoint");
    config.require("use_karras_sigmas", false);
    config.require("use_exponential_sigmas", false);
    config.require("use_beta_sigmas", false);
    config.require("use_lu_lambdas", false);
    config.require("use_flow_sigmas", false);
    if (order != 1 && order != 2) reject("solver_order is " + std::to_string(order) + ", 1 and 2 are supported", config.where());
  }
  std::unique_ptr<SchedulerRun> begin(std::int64_t steps, std::int64_t tokens) const override;

  NoiseSchedule schedule;
  std::string spacing;
  std::int64_t offset, order;
  bool lower_order_final, euler_at_final, zero_final;
  Thresholding thresholding;
};

struct DpmSolverRun : SchedulerRun {
  DpmSolverRun(const DpmSolver& solver, std::int64_t steps) : solver(solver), steps(steps) {
    const std::int64_t length = solver.schedule.steps();
    if (solver.spacing == "trailing") {
      timesteps_ = spaced_timesteps("trailing", steps, length, 0);
    } else {  // one more timestep than steps, the last of which is dropped
      timesteps_ = spaced_timesteps(solver.spacing, steps + 1, length, solver.offset);
      timesteps_.pop_back();
    }
    const torch::Tensor table = solver.schedule.sigmas();
    for (double t : timesteps_) sigmas.push_back(interpolate(table, t));
    sigmas.push_back(solver.zero_final ? 0.0 : table[0].item<double>());
  }

  struct Point {
    double alpha, sigma, lambda;
  };
  Point point(size_t i) const {
    const double alpha = 1 / std::sqrt(sigmas[i] * sigmas[i] + 1), sigma = sigmas[i] * alpha;
    return {alpha, sigma, std::log(alpha) - std::log(sigma)};
  }

  torch::Tensor step(const torch::Tensor& output, size_t call, const torch::Tensor& x) override {
    const Point now = point(call), next = point(call + 1);
    torch::Tensor clean;
    switch (solver.schedule.prediction) {
      case Prediction::v:
        clean = now.alpha * x - now.sigma * output;
        break;
      case Prediction::sample:
        clean = output;
        break;
      default:
        clean = (x - now.sigma * output) / now.alpha;
    }
    clean = solver.thresholding.apply(clean);
    const double h = next.lambda - now.lambda, factor = next.alpha * std::expm1(-h);
    torch::Tensor out = next.sigma / now.sigma * x - factor * clean;
    const bool last = call + 1 == static_cast<size_t>(steps) && (solver.euler_at_final || (solver.lower_order_final && steps < 15) || solver.zero_final);
    if (solver.order == 2 && call > 0 && !last) {
      const double ratio = (now.lambda - point(call - 1).lambda) / h;
      out = out - 0.5 * factor / ratio * (clean - before);
    }
    before = clean;
    return out;
  }

  DpmSolver solver;
  std::int64_t steps;
  std::vector<double> sigmas;
  torch::Tensor before;  // the clean latent predicted one call earlier
};

std::unique_ptr<SchedulerRun> DpmSolver::begin(std::int64_t steps, std::int64_t) const {
  check_steps(steps, schedule.steps() - 1);
  return std::make_unique<DpmSolverRun>(*this, steps);
}

}  // namespace

std::unique_ptr<Scheduler> make_dpm_solver(const Config& config) { return std::make_unique<DpmSolver>(config); }

}  // namespace glyphscope
