#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/error.h"
#include "schedulers/solver.h"

namespace glyphscope {
namespace {

/// Stochastic Adams methods of the diffusion equation (arXiv 2309.05019): noise is added in the middle of the run, and each step's estimate corrects the step
/// before it. Source: diffusers `SASolverScheduler`.
struct SaSolver : Scheduler {
  explicit SaSolver(const Config& config)
      : spacing(SigmaSpacing::parse(config)),
        predictor_order(config.size("predictor_order", 2, 1, 4)),
        corrector_order(config.size("corrector_order", 2, 1, 4)),
        lower_order_final(config.boolean("lower_order_final", true)),
        thresholding(Thresholding::parse(config)) {
    spacing.lowest = spacing.highest = {};
    spacing.log_linear = spacing.continuous = false;
    if (spacing.curve == SigmaSpacing::Curve::lu) spacing.curve = SigmaSpacing::Curve::table;
    check_solver(spacing, config);
    config.require("tau_func", nullptr);  // a function of Python; without one, noise_share()
    const std::string algorithm = config.text("algorithm_type", "data_prediction");
    data = algorithm == "data_prediction";
    if (!data && algorithm != "noise_prediction")
      reject("unknown algorithm_type '" + algorithm + "'", config.where(), "Known are data_prediction and noise_prediction");
    if (!data && spacing.flow)
      reject("algorithm_type noise_prediction does not go with a model that predicts a flow", config.where(), "Set algorithm_type to data_prediction");
  }
  std::unique_ptr<SchedulerRun> begin(std::int64_t steps, std::int64_t) const override;

  static double noise_share(double timestep) { return timestep >= 200 && timestep <= 800 ? 1 : 0; }

  SigmaSpacing spacing;
  std::int64_t predictor_order, corrector_order;
  bool lower_order_final, data = true;
  Thresholding thresholding;
};

struct SaSolverRun : SolverRun {
  SaSolverRun(const SaSolver& solver, std::int64_t steps) : SolverRun(solver.spacing.whole(steps), solver.spacing, solver.thresholding), solver(solver) {
    levels_.push_back(solver.spacing.flow || solver.spacing.curve != SigmaSpacing::Curve::table ? levels_.back() : solver.spacing.least());
  }

  torch::Tensor step(const torch::Tensor& output, size_t call, const torch::Tensor& latent) override {
    const torch::Tensor estimate = solver.data ? clean(output, call, latent) : noise(output, call, latent);
    torch::Tensor x = latent;
    remember(estimate, std::max(solver.predictor_order, solver.corrector_order));
    if (call > 0) x = advanced(call - 1, before, call, order_at(call - 1, solver.corrector_order - 1) + 1);
    before = x;
    drawn = draw_noise();
    return advanced(call, x, call, order_at(call, solver.predictor_order));
  }

  // Of how many calls up to this one a step is made.
  std::int64_t order_at(size_t call, std::int64_t highest) const {
    const std::int64_t order = std::min(highest, static_cast<std::int64_t>(call) + 1);
    return solver.lower_order_final ? std::min(order, static_cast<std::int64_t>(timesteps_.size() - call)) : order;
  }

  // The latent after a call from the one before it: an exponential times the polynomial through the estimates of `order` calls up to `newest`, integrated over
  // the log signal-to-noise ratio. Integrals are taken of its distance to the goal, where nothing cancels.
  torch::Tensor advanced(size_t call, const torch::Tensor& x, size_t newest, std::int64_t order) const {
    const SolverPoint from = point(call), to = point(call + 1);
    const double h = to.lambda - from.lambda;
    if (h == 0) return x;
    const double tau = SaSolver::noise_share(timesteps_[call]), rate = solver.data ? 1 + tau * tau : -1;
    std::vector<double> nodes;
    for (std::int64_t i = 0; i < order; ++i) nodes.push_back(point(newest - static_cast<size_t>(i)).lambda - to.lambda);
    std::vector<double> weights = integrals(nodes, h, rate);
    if (solver.data && order == 2) {
      // The reference takes half of the step's square for the integral of its slope; it matters with few steps.
      const double slope = h - (h * rate + std::expm1(-rate * h)) / (rate * rate) * 2 / h;
      const double more = newest == call ? slope * h / 2 / (nodes[0] - nodes[1]) : slope / 2;
      weights[0] += more;
      weights[1] -= more;
    }
    torch::Tensor out = (solver.data ? std::exp(-tau * tau * h) * to.sigma / from.sigma : to.alpha / from.alpha) * x;
    // exp(lambda) of the goal is its signal over its noise.
    const double scale = solver.data ? rate * to.alpha : -(1 + tau * tau) * to.sigma;
    for (size_t i = 0; i < weights.size(); ++i) out = out + scale * weights[i] * estimates_[i];
    const double added = solver.data ? to.sigma * std::sqrt(-std::expm1(-2 * tau * tau * h)) : tau * to.sigma * std::sqrt(std::expm1(2 * h));
    return added > 0 ? out + added * drawn : out;
  }

  // Of Lagrange's polynomials through `nodes`, times exp(rate * s), over s from -h to 0.
  static std::vector<double> integrals(const std::vector<double>& nodes, double h, double rate) {
    // Of the powers of s, by parts.
    std::vector<double> powers;
    for (size_t k = 0; k < nodes.size(); ++k) {
      const double start = std::pow(-h, static_cast<double>(k)) * std::exp(-rate * h);
      powers.push_back(k == 0 ? -std::expm1(-rate * h) / rate : (-start - static_cast<double>(k) * powers.back()) / rate);
    }
    std::vector<double> out;
    for (size_t i = 0; i < nodes.size(); ++i) {
      std::vector<double> polynomial{1};  // the lowest power first
      for (size_t k = 0; k < nodes.size(); ++k) {
        if (k == i) continue;
        std::vector<double> next(polynomial.size() + 1, 0.0);
        for (size_t p = 0; p < polynomial.size(); ++p) {
          next[p + 1] += polynomial[p] / (nodes[i] - nodes[k]);
          next[p] -= polynomial[p] * nodes[k] / (nodes[i] - nodes[k]);
        }
        polynomial = next;
      }
      double sum = 0;
      for (size_t p = 0; p < polynomial.size(); ++p) sum += polynomial[p] * powers[p];
      out.push_back(sum);
    }
    return out;
  }

  SaSolver solver;
  torch::Tensor before, drawn;  // the latent that the step before began with, and its noise
};

std::unique_ptr<SchedulerRun> SaSolver::begin(std::int64_t steps, std::int64_t) const { return std::make_unique<SaSolverRun>(*this, steps); }

}  // namespace

std::unique_ptr<Scheduler> make_sa_solver(const Config& config) { return std::make_unique<SaSolver>(config); }

}  // namespace glyphscope
