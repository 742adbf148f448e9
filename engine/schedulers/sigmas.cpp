#include "schedulers/sigmas.h"

#include <torch/types.h>

#include <algorithm>
#include <boost/math/distributions/beta.hpp>
#include <cmath>

#include "core/error.h"
#include "schedulers/scheduler.h"

namespace glyphscope {
namespace {

// As the reference keeps them.
double in_single(double value) { return static_cast<double>(static_cast<float>(value)); }

SigmaSpacing::Curve parse_curve(const Config& config) {
  using Curve = SigmaSpacing::Curve;
  Curve out = Curve::table;
  const std::pair<const char*, Curve> known[] = {
      {"use_karras_sigmas", Curve::karras}, {"use_exponential_sigmas", Curve::exponential}, {"use_beta_sigmas", Curve::beta}, {"use_lu_lambdas", Curve::lu}};
  for (const auto& [key, curve] : known) {
    if (!config.boolean(key, false)) continue;
    if (out != Curve::table) reject("more than one curve of noise levels is asked for", config.where(), "Set one of use_karras_sigmas and its like");
    out = curve;
  }
  return out;
}

}  // namespace

std::vector<double> linspace(double first, double last, std::int64_t count) {
  std::vector<double> out;
  for (std::int64_t i = 0; i < count; ++i) out.push_back(first + (count == 1 ? 0 : static_cast<double>(i) * ((last - first) / static_cast<double>(count - 1))));
  if (count > 1) out.back() = last;
  return out;
}

std::vector<double> along(SigmaSpacing::Curve curve, double high, double low, std::int64_t steps, double rho) {
  using Curve = SigmaSpacing::Curve;
  std::vector<double> out = linspace(0, 1, steps);
  const boost::math::beta_distribution<> beta(0.6, 0.6);
  for (double& one : out) {
    if (curve == Curve::karras)
      one = std::pow(std::pow(high, 1 / rho) + one * (std::pow(low, 1 / rho) - std::pow(high, 1 / rho)), rho);
    else if (curve == Curve::beta)
      one = low + boost::math::quantile(beta, 1 - one) * (high - low);
    else
      one = std::exp(std::log(high) + one * (std::log(low) - std::log(high)));
  }
  return out;
}

double timestep_of(double sigma, const torch::Tensor& table) {
  const torch::Tensor logs = table.log();
  const auto log = logs.accessor<float, 1>();
  const double wanted = std::log(std::max(sigma, 1e-10));
  const std::int64_t length = logs.size(0);
  // The last that is not above it: a table without signal at its end falls there, to the level that stands for none.
  std::int64_t low = 0;
  for (std::int64_t i = 0; i < length; ++i)
    if (wanted >= static_cast<double>(log[i])) low = std::min(i, length - 2);
  const double below = log[low], above = log[low + 1];
  const double share = std::clamp((below - wanted) / (below - above), 0.0, 1.0);
  return (1 - share) * static_cast<double>(low) + share * static_cast<double>(low + 1);
}

SigmaSpacing SigmaSpacing::parse(const Config& config, const NoiseSchedule::Betas& fallback) {
  SigmaSpacing out;
  out.schedule = NoiseSchedule::parse(config, fallback);
  if (out.schedule.steps() < 2) reject("the noise schedule has one timestep, two or more were expected", config.where());
  out.spacing = config.text("timestep_spacing", "linspace");
  out.offset = config.integer("steps_offset", 0);
  out.curve = parse_curve(config);
  const auto one_of = [&](const char* key, const char* usual, const char* other) {
    const std::string value = config.text(key, usual);
    if (value != usual && value != other)
      reject(std::string("'") + key + "' is '" + value + "'", config.where(), std::string("Known are ") + usual + " and " + other);
    return value == usual;
  };
  out.ends_at_zero = one_of("final_sigmas_type", "zero", "sigma_min");
  out.log_linear = !one_of("interpolation_type", "linear", "log_linear");
  out.continuous = !one_of("timestep_type", "discrete", "continuous");
  // A folder may write it as minus infinity, which JSON does not know.
  if (config.has("lambda_min_clipped") && config.json()["lambda_min_clipped"].is_number())
    out.lambda_min_clipped = config.number("lambda_min_clipped", 0, -1e300);
  if (config.has("sigma_min")) out.lowest = config.number("sigma_min", 0, 1e-6, 1e6);
  if (config.has("sigma_max")) out.highest = config.number("sigma_max", 0, 1e-6, 1e6);
  out.flow = config.boolean("use_flow_sigmas", false);
  out.flow_shift = config.number("flow_shift", 1.0, 1e-3, 1e3);
  if (out.flow != (out.schedule.prediction == Prediction::flow))
    reject("use_flow_sigmas and prediction_type do not go together", config.where(), "Models that predict a flow have use_flow_sigmas true");
  return out;
}

Sigmas SigmaSpacing::fractional(std::int64_t steps, bool rounded) const {
  const torch::Tensor table = schedule.sigmas();
  const std::int64_t length = schedule.steps();
  check_steps(steps, length);
  Sigmas out;
  if (spacing == "linspace") {  // not rounded here, unlike in the other schedulers
    for (const double t : linspace(0, static_cast<double>(length - 1), steps)) out.timesteps.insert(out.timesteps.begin(), in_single(t));
  } else {
    out.timesteps = spaced_timesteps(spacing, steps, length, offset);
  }
  if (log_linear)
    for (const double log : linspace(std::log(table[-1].item<double>()), std::log(table[0].item<double>()), steps + 1)) out.values.push_back(std::exp(log));
  else
    for (const double t : out.timesteps) out.values.push_back(interpolate(table, t));
  if (curve != Curve::table) {
    out.values = along(curve, highest.value_or(out.values.front()), lowest.value_or(out.values.back()), steps);
    for (size_t i = 0; i < out.values.size(); ++i) {
      const double t = timestep_of(out.values[i], table);
      out.timesteps[i] = in_single(rounded && curve == Curve::karras ? std::nearbyint(t) : t);
    }
  }
  out.values.push_back(ends_at_zero ? 0 : least());
  for (double& one : out.values) one = in_single(one);
  if (continuous && schedule.prediction == Prediction::v) {
    out.timesteps.clear();  // log-linear levels are one more
    for (size_t i = 0; i + 1 < out.values.size(); ++i) out.timesteps.push_back(in_single(0.25 * std::log(out.values[i])));
  }
  return out;
}

Sigmas SigmaSpacing::whole(std::int64_t steps, bool truncated) const {
  const torch::Tensor table = schedule.sigmas();
  const std::int64_t length = schedule.steps();
  check_steps(steps, length - 1);
  Sigmas out;
  if (flow) {
    out.values = linspace(1, 1 / static_cast<double>(length), steps + 1);
    for (double& one : out.values) {
      one = 1 - one;
      one = flow_shift * one / (1 + (flow_shift - 1) * one);
    }
    std::reverse(out.values.begin(), out.values.end());
    out.values.pop_back();
    for (double& one : out.values) {
      out.timesteps.push_back(std::trunc(one * static_cast<double>(length)));
      one = in_single(one);
    }
    return out;
  }
  const std::int64_t beyond = (table.log() > -lambda_min_clipped).sum().item<std::int64_t>(), reach = length - beyond;
  if (reach < 1) reject("lambda_min_clipped leaves no timestep", "scheduler");
  if (spacing == "trailing") {
    const double first = static_cast<double>(reach), stride = (first - static_cast<double>(length) / static_cast<double>(steps)) - first;
    for (std::int64_t i = 0; i < steps && first + static_cast<double>(i) * stride > 0; ++i)
      out.timesteps.push_back(std::nearbyint(first + static_cast<double>(i) * stride) - 1);
  } else {  // one more timestep than steps, the last of which is dropped
    out.timesteps = spaced_timesteps(spacing, steps + 1, reach, offset);
    out.timesteps.pop_back();
  }
  if (curve == Curve::table) {
    for (const double t : out.timesteps) out.values.push_back(interpolate(table, t));
  } else {
    // Lu's are spaced by logarithms, which the reference has in single precision.
    const auto end = [&](std::int64_t at) {
      return curve == Curve::lu ? std::exp(static_cast<double>(table[at].log().item<float>())) : table[at].item<double>();
    };
    out.values = along(curve, highest.value_or(end(-1)), lowest.value_or(end(0)), steps);
    out.timesteps.clear();
    for (double& one : out.values) {
      const double t = timestep_of(one, table);
      out.timesteps.push_back((curve == Curve::karras || curve == Curve::lu) && !truncated ? std::nearbyint(t) : std::trunc(t));
      one = in_single(one);
    }
  }
  return out;
}

double SigmaSpacing::least() const { return schedule.sigmas()[0].item<double>(); }

EdmSpacing EdmSpacing::parse(const Config& config) {
  EdmSpacing out;
  out.lowest = config.number("sigma_min", 0.002, 1e-9);
  out.highest = config.number("sigma_max", 80, 1e-9);
  out.deviation = config.number("sigma_data", 0.5, 1e-9);
  out.rho = config.number("rho", 7, 1e-3);
  if (out.lowest >= out.highest) reject("sigma_min must be under sigma_max", config.where());
  const std::string curve = config.text("sigma_schedule", "karras"), last = config.text("final_sigmas_type", "zero");
  if (curve != "karras" && curve != "exponential") reject("unknown sigma_schedule '" + curve + "'", config.where(), "Known are karras and exponential");
  out.curve = curve == "karras" ? SigmaSpacing::Curve::karras : SigmaSpacing::Curve::exponential;
  if (last != "zero" && last != "sigma_min") reject("'final_sigmas_type' is '" + last + "'", config.where(), "Known are zero and sigma_min");
  out.ends_at_zero = last == "zero";
  out.prediction = parse_prediction(config);
  if (out.prediction != Prediction::epsilon && out.prediction != Prediction::v)
    reject("EDM goes with prediction_type epsilon and v_prediction", config.where());
  return out;
}

Sigmas EdmSpacing::sigmas(std::int64_t steps) const {
  check_steps(steps, 100'000);
  Sigmas out{along(curve, highest, lowest, steps, rho), {}};
  if (curve == SigmaSpacing::Curve::exponential && steps == 1) out.values[0] = lowest;  // counted from the other end
  for (double& one : out.values) {
    one = in_single(one);
    out.timesteps.push_back(in_single(0.25 * std::log(one)));
  }
  out.values.push_back(ends_at_zero ? 0 : in_single(lowest));
  return out;
}

Preconditioning Preconditioning::of(const EdmSpacing& edm, double sigma) {
  const double data = edm.deviation * edm.deviation, both = sigma * sigma + data, in = 1 / std::sqrt(both);
  return {in, data / both, (edm.prediction == Prediction::v ? -1 : 1) * sigma * edm.deviation * in};
}

Preconditioning Preconditioning::of(Prediction prediction, double sigma) {
  const double variance = sigma * sigma + 1, in = 1 / std::sqrt(variance);
  switch (prediction) {
    case Prediction::v:
      return {in, 1 / variance, -sigma * in};
    case Prediction::sample:
      return {in, 0, 1};
    default:
      return {in, 1, -sigma};
  }
}

}  // namespace glyphscope
