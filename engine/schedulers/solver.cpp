#include "schedulers/solver.h"

#include <torch/types.h>

#include <cmath>

#include "core/error.h"

namespace glyphscope {

SolverRun::SolverRun(Sigmas sigmas, const SigmaSpacing& spacing, const Thresholding& thresholding)
    : levels_(std::move(sigmas.values)), thresholding_(thresholding), prediction_(spacing.schedule.prediction), flow_(spacing.flow) {
  timesteps_ = std::move(sigmas.timesteps);
}

SolverPoint SolverRun::point(size_t level) const {
  const double at = levels_.at(level);
  const double alpha = flow_ ? 1 - at : 1 / std::sqrt(at * at + 1), sigma = flow_ ? at : at * alpha;
  return {alpha, sigma, std::log(alpha) - std::log(sigma)};
}

torch::Tensor SolverRun::clean(const torch::Tensor& output, size_t call, const torch::Tensor& x) const {
  const auto [alpha, sigma, lambda] = point(call);
  switch (prediction_) {
    case Prediction::v:
      return thresholding_.apply(alpha * x - sigma * output);
    case Prediction::sample:
      return thresholding_.apply(output);
    case Prediction::flow:
      return thresholding_.apply(x - sigma * output);
    default:
      return thresholding_.apply((x - sigma * output) / alpha);
  }
}

torch::Tensor SolverRun::noise(const torch::Tensor& output, size_t call, const torch::Tensor& x) const {
  if (prediction_ == Prediction::epsilon && !thresholding_.on) return output;
  const auto [alpha, sigma, lambda] = point(call);
  return (x - alpha * clean(output, call, x)) / sigma;
}

void SolverRun::remember(const torch::Tensor& estimate, std::int64_t count) {
  estimates_.push_front(estimate);
  if (static_cast<std::int64_t>(estimates_.size()) > count) estimates_.pop_back();
}

DynamicShift DynamicShift::parse(const Config& config) {
  DynamicShift out;
  out.on = config.boolean("use_dynamic_shifting", false);
  out.fewest = config.number("base_image_seq_len", 256, 1);
  out.most = config.number("max_image_seq_len", 4096, 1);
  out.low = config.number("base_shift", 0.5);
  out.high = config.number("max_shift", 1.15);
  if (out.on && out.most <= out.fewest) reject("max_image_seq_len must be over base_image_seq_len", config.where());
  return out;
}

double DynamicShift::mu(std::int64_t tokens) const { return low + (high - low) * (static_cast<double>(tokens) - fewest) / (most - fewest); }

SigmaSpacing DynamicShift::applied(SigmaSpacing spacing, std::int64_t tokens) const {
  if (on) spacing.flow_shift = std::exp(mu(tokens));
  return spacing;
}

void check_solver(const SigmaSpacing& spacing, const Config& config) {
  if (spacing.flow && spacing.curve != SigmaSpacing::Curve::table)
    reject("a flow's noise levels do not follow this solver's curves", config.where(),
           "Leave out -karras, -exponential or -beta behind its name, or set use_karras_sigmas and its like to false");
}

void check_noise_prediction(const DpmAlgorithm& algorithm, const SigmaSpacing& spacing, const Config& config) {
  if (algorithm.data) return;
  if (spacing.ends_at_zero)
    reject("final_sigmas_type 'zero' does not go with this algorithm_type", config.where(),
           "Set final_sigmas_type to sigma_min, or algorithm_type to dpmsolver++");
  if (spacing.flow) reject("this algorithm_type does not go with a model that predicts a flow", config.where(), "Set algorithm_type to dpmsolver++");
}

DpmAlgorithm DpmAlgorithm::parse(const Config& config) {
  DpmAlgorithm out;
  const std::string algorithm = config.text("algorithm_type", "dpmsolver++"), solver = config.text("solver_type", "midpoint");
  out.data = algorithm == "dpmsolver++" || algorithm == "sde-dpmsolver++" || algorithm == "deis";
  out.stochastic = algorithm.starts_with("sde-");
  if (!out.data && algorithm != "dpmsolver" && algorithm != "sde-dpmsolver")
    reject("unknown algorithm_type '" + algorithm + "'", config.where(), "Known are dpmsolver, dpmsolver++, sde-dpmsolver and sde-dpmsolver++");
  out.heun = solver == "heun";
  if (!out.heun && solver != "midpoint" && solver != "logrho" && solver != "bh1" && solver != "bh2")
    reject("unknown solver_type '" + solver + "'", config.where(), "Known are midpoint and heun");
  return out;
}

DpmAlgorithm::Weights DpmAlgorithm::weights(const SolverPoint& from, const SolverPoint& to, int order) const {
  // Without noise at the end h is infinite; what is taken of it then is not.
  const double h = to.lambda - from.lambda;
  const bool slope = heun || order == 3;
  Weights out{};
  if (data) {
    const double g = stochastic ? 2 * h : h, grown = -std::expm1(-g);  // 1 - exp(-g)
    out.x = to.sigma / from.sigma * (stochastic ? std::exp(-h) : 1);
    out.estimate = to.alpha * grown;
    out.first = slope ? to.alpha * (1 - grown / g) : out.estimate / 2;
    out.second = to.alpha * (stochastic ? (grown - g) / (g * g) - 0.5 : 0.5 - (g - grown) / (g * g));
    out.noise = stochastic ? to.sigma * std::sqrt(-std::expm1(-2 * h)) : 0;
  } else {
    const double grown = std::expm1(h), times = stochastic ? 2 : 1;
    out.x = to.alpha / from.alpha;
    out.estimate = -times * to.sigma * grown;
    out.first = slope ? -times * to.sigma * (grown / h - 1) : out.estimate / 2;
    out.second = -to.sigma * ((grown - h) / (h * h) - 0.5);
    out.noise = stochastic ? to.sigma * std::sqrt(std::expm1(2 * h)) : 0;
  }
  return out;
}

}  // namespace glyphscope
