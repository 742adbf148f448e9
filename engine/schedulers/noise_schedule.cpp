#include "schedulers/noise_schedule.h"

#include <torch/types.h>

#include <cmath>

#include "core/error.h"

namespace glyphscope {

Prediction parse_prediction(const Config& config, const std::string& fallback) {
  const std::string name = config.text("prediction_type", fallback);
  if (name == "epsilon") return Prediction::epsilon;
  if (name == "v_prediction") return Prediction::v;
  if (name == "sample") return Prediction::sample;
  if (name == "flow_prediction") return Prediction::flow;
  reject("unknown prediction_type '" + name + "'", config.where(), "Known are epsilon, v_prediction, sample and flow_prediction");
}

NoiseSchedule NoiseSchedule::parse(const Config& config, const Betas& fallback) {
  NoiseSchedule out;
  out.prediction = parse_prediction(config);
  const std::int64_t steps = config.size("num_train_timesteps", 1000, 1, 100000);
  const double start = config.number("beta_start", fallback.start), end = config.number("beta_end", fallback.end);
  if (!(start > 0 && start <= end && end < 1)) reject("beta_start and beta_end must satisfy 0 < beta_start <= beta_end < 1", config.where());
  const std::string name = config.text("beta_schedule", fallback.schedule);
  torch::Tensor betas;
  if (config.has("trained_betas")) {
    const std::vector<double> trained = config.numbers("trained_betas");
    for (size_t i = 0; i < trained.size(); ++i)
      if (!(trained[i] >= 0 && trained[i] <= 1))
        reject("trained_betas[" + std::to_string(i) + "] is " + std::to_string(trained[i]) + ", expected 0 to 1", config.where());
    if (static_cast<std::int64_t>(trained.size()) != steps)
      reject("'trained_betas' has " + std::to_string(trained.size()) + " numbers, and num_train_timesteps is " + std::to_string(steps), config.where(),
             "There is one for each timestep");
    betas = torch::tensor(trained).to(torch::kFloat32);
  } else if (name == "linear") {
    betas = torch::linspace(start, end, steps, torch::kFloat32);
  } else if (name == "scaled_linear") {
    betas = torch::linspace(std::sqrt(start), std::sqrt(end), steps, torch::kFloat32).pow(2);
  } else if (name == "sigmoid") {
    betas = torch::linspace(-6, 6, steps, torch::kFloat32).sigmoid() * (end - start) + start;
  } else if (name == "squaredcos_cap_v2" || name == "exp") {
    auto bar = [&](double t) { return name == "exp" ? std::exp(-12 * t) : std::pow(std::cos((t + 0.008) / 1.008 * M_PI / 2), 2); };
    std::vector<float> values;
    for (std::int64_t i = 0; i < steps; ++i) {
      const double n = static_cast<double>(steps), t = static_cast<double>(i);
      values.push_back(static_cast<float>(std::min(1 - bar((t + 1) / n) / bar(t / n), 0.999)));
    }
    betas = torch::tensor(values);
  } else {
    reject("unknown beta_schedule '" + name + "'", config.where(), "Known are linear, scaled_linear, squaredcos_cap_v2, sigmoid and exp");
  }
  if (config.boolean("rescale_betas_zero_snr", false)) {
    // arXiv 2305.08891, algorithm 1
    torch::Tensor root = (1 - betas).cumprod(0).sqrt();
    const torch::Tensor first = root[0].clone(), last = root[-1].clone();
    root = (root - last) * (first / (first - last));
    torch::Tensor bar = root.pow(2);
    torch::Tensor alphas = torch::cat({bar.slice(0, 0, 1), bar.slice(0, 1) / bar.slice(0, 0, -1)});
    betas = 1 - alphas;
  }
  out.alphas_cumprod = (1 - betas).cumprod(0);
  return out;
}

torch::Tensor NoiseSchedule::sigmas() const {
  const torch::Tensor a = at::where(alphas_cumprod <= 0, at::scalar_tensor(0x1p-24, alphas_cumprod.options()), alphas_cumprod);
  return ((1 - a) / a).sqrt();
}

}  // namespace glyphscope
