#include "schedulers/k_diffusion.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/error.h"

namespace glyphscope {

KDiffusion::KDiffusion(const Config& config, bool curves, const NoiseSchedule::Betas& fallback) : spacing(SigmaSpacing::parse(config, fallback)) {
  using Curve = SigmaSpacing::Curve;
  if (!curves || spacing.curve == Curve::lu) spacing.curve = Curve::table;
}

KDiffusionRun::KDiffusionRun(const KDiffusion& scheduler, Sigmas sigmas)
    : levels_(std::move(sigmas.values)), prediction_(scheduler.spacing.schedule.prediction) {
  timesteps_ = std::move(sigmas.timesteps);
  const double top = *std::max_element(levels_.begin(), levels_.end());
  scale_ = scheduler.spacing.spacing == "leading" ? std::sqrt(top * top + 1) : top;
}

KDiffusionRun::KDiffusionRun(const EdmSpacing& edm, Sigmas sigmas)
    : levels_(std::move(sigmas.values)), edm_(edm), scale_(std::sqrt(edm.highest * edm.highest + 1)) {
  timesteps_ = std::move(sigmas.timesteps);
}

AncestralStep AncestralStep::between(double from, double to) {
  const double up = std::min(to, std::sqrt(to * to * (from * from - to * to) / (from * from)));
  return {std::sqrt(to * to - up * up), up};
}

namespace {

// Classes that know no keys for where a run ends, for its interpolation, and for the ends of a curve.
void plain(SigmaSpacing& spacing) {
  spacing.ends_at_zero = true;
  spacing.log_linear = spacing.continuous = false;
  spacing.lowest = spacing.highest = {};
}

void refuse_sample(const SigmaSpacing& spacing, const Config& config, const char* name) {
  if (spacing.schedule.prediction == Prediction::sample)
    reject(std::string(name) + " does not go with models that predict the clean latent", config.where(), "Choose another scheduler, ddim for example");
}

/// Euler's method on the probability-flow equation (arXiv 2206.00364, algorithm 2 without churn). Source: diffusers `EulerDiscreteScheduler`, and
/// `EDMEulerScheduler`.
struct EulerRun : KDiffusionRun {
  using KDiffusionRun::KDiffusionRun;
  torch::Tensor step(const torch::Tensor& output, size_t call, const torch::Tensor& x) override {
    return x + slope(output, x, levels_.at(call)) * (levels_[call + 1] - levels_[call]);
  }
};

struct Euler : KDiffusion {
  explicit Euler(const Config& config) : KDiffusion(config, true, {}) {}
  std::unique_ptr<SchedulerRun> begin(std::int64_t steps, std::int64_t) const override { return std::make_unique<EulerRun>(*this, spacing.fractional(steps)); }
};

struct EdmEuler : Scheduler {
  explicit EdmEuler(const Config& config) : edm(EdmSpacing::parse(config)) {}
  std::unique_ptr<SchedulerRun> begin(std::int64_t steps, std::int64_t) const override;
  EdmSpacing edm;
};

// The step is linear, so that it can be gone back.
struct EdmEulerRun : EulerRun {
  using EulerRun::EulerRun;
  bool reversible() const override { return true; }
  torch::Tensor step_back(const torch::Tensor& output, size_t call, const torch::Tensor& next) const override {
    const Preconditioning how = read(levels_.at(call));
    const double move = (levels_[call + 1] - levels_[call]) / levels_[call];
    return (next + move * how.out * output) / (1 + move * (1 - how.skip));
  }
};

std::unique_ptr<SchedulerRun> EdmEuler::begin(std::int64_t steps, std::int64_t) const {
  Sigmas sigmas = edm.sigmas(steps);
  if (!edm.ends_at_zero) sigmas.values.back() = sigmas.values[sigmas.values.size() - 2];
  return std::make_unique<EdmEulerRun>(edm, std::move(sigmas));
}

/// Euler's method with fresh noise at each step. Source: diffusers `EulerAncestralDiscreteScheduler`.
struct EulerAncestralRun : KDiffusionRun {
  using KDiffusionRun::KDiffusionRun;
  torch::Tensor step(const torch::Tensor& output, size_t call, const torch::Tensor& x) override {
    const auto [down, up] = AncestralStep::between(levels_.at(call), levels_[call + 1]);
    return x + slope(output, x, levels_[call]) * (down - levels_[call]) + up * draw_noise();
  }
};

struct EulerAncestral : KDiffusion {
  explicit EulerAncestral(const Config& config) : KDiffusion(config, false, {}) {
    plain(spacing);
    refuse_sample(spacing, config, "euler-a");
  }
  std::unique_ptr<SchedulerRun> begin(std::int64_t steps, std::int64_t) const override {
    return std::make_unique<EulerAncestralRun>(*this, spacing.fractional(steps));
  }
};

// Each step but the last asks twice: at its start, and at a level further down.
std::vector<double> with_second_calls(const std::vector<double>& first, const std::vector<double>& second) {
  std::vector<double> out;
  for (size_t i = 0; i < first.size(); ++i) {
    out.push_back(first[i]);
    if (i + 1 < first.size()) out.push_back(second[i]);
  }
  return out;
}

struct TwoCallsRun : KDiffusionRun {
  using KDiffusionRun::KDiffusionRun;
  std::int64_t step_of(size_t call) const override { return static_cast<std::int64_t>(call / 2); }

 protected:
  torch::Tensor before, before_slope;
};

/// Heun's method, the second order of the same equation (arXiv 2206.00364, algorithm 1). Source: diffusers `HeunDiscreteScheduler`.
struct HeunRun : TwoCallsRun {
  HeunRun(const KDiffusion& heun, Sigmas sigmas, double clip) : TwoCallsRun(heun, std::move(sigmas)), clip(clip) {
    timesteps_ = with_second_calls(timesteps_, {timesteps_.begin() + 1, timesteps_.end()});
  }
  double seen(size_t call) const override { return levels_.at((call + 1) / 2); }
  torch::Tensor step(const torch::Tensor& output, size_t call, const torch::Tensor& x) override {
    const size_t at = call / 2;
    torch::Tensor estimate = clean(output, x, seen(call));
    if (clip > 0) estimate = estimate.clamp(-clip, clip);
    torch::Tensor slope = (x - estimate) / seen(call);
    if (call % 2 == 0) {
      before = x;
      before_slope = slope;
    } else {
      slope = (before_slope + slope) / 2;
    }
    return before + slope * (levels_[at + 1] - levels_[at]);
  }
  double clip;
};

struct Heun : KDiffusion {
  explicit Heun(const Config& config) : KDiffusion(config, true), clip(config.boolean("clip_sample", false) ? config.number("clip_sample_range", 1.0) : 0) {
    plain(spacing);
  }
  std::unique_ptr<SchedulerRun> begin(std::int64_t steps, std::int64_t) const override {
    return std::make_unique<HeunRun>(*this, spacing.fractional(steps), clip);
  }
  double clip;
};

/// A linear multi-step method of up to fourth order. Source: diffusers `LMSDiscreteScheduler`.
struct LmsRun : KDiffusionRun {
  using KDiffusionRun::KDiffusionRun;
  torch::Tensor step(const torch::Tensor& output, size_t call, const torch::Tensor& x) override {
    slopes.insert(slopes.begin(), slope(output, x, levels_.at(call)));
    if (slopes.size() > 4) slopes.pop_back();
    torch::Tensor out = x;
    for (size_t k = 0; k < slopes.size(); ++k) out = out + weight(call, k) * slopes[k];
    return out;
  }

  // The integral of Lagrange's polynomial that is one at the level of k calls ago: Gauss' two points are exact for the third power.
  double weight(size_t call, size_t k) const {
    const double from = levels_[call], to = levels_[call + 1], middle = (from + to) / 2, half = (to - from) / 2;
    double sum = 0;
    for (const double node : {-1 / std::sqrt(3.0), 1 / std::sqrt(3.0)}) {
      double product = 1;
      for (size_t j = 0; j < slopes.size(); ++j)
        if (j != k) product *= (middle + half * node - levels_[call - j]) / (levels_[call - k] - levels_[call - j]);
      sum += half * product;
    }
    return sum;
  }
  std::vector<torch::Tensor> slopes;  // the newest first
};

struct Lms : KDiffusion {
  explicit Lms(const Config& config) : KDiffusion(config, true, {}) { plain(spacing); }
  std::unique_ptr<SchedulerRun> begin(std::int64_t steps, std::int64_t) const override { return std::make_unique<LmsRun>(*this, spacing.fractional(steps)); }
};

/// The midpoint method in log sigma (arXiv 2206.00364's appendix after DPM-Solver-2), and the same with fresh noise. Source: diffusers
/// `KDPM2DiscreteScheduler` and `KDPM2AncestralDiscreteScheduler`.
struct Dpm2Run : TwoCallsRun {
  Dpm2Run(const KDiffusion& scheduler, Sigmas sigmas, bool ancestral) : TwoCallsRun(scheduler, std::move(sigmas)), ancestral(ancestral) {
    const torch::Tensor table = scheduler.spacing.schedule.sigmas();
    std::vector<double> second;
    for (size_t i = 0; i < timesteps_.size(); ++i) {
      ends.push_back(ancestral ? AncestralStep::between(levels_[i], levels_[i + 1]) : AncestralStep{levels_[i + 1], 0});
      middles.push_back(i + 1 < timesteps_.size() ? std::exp((std::log(levels_[i]) + std::log(ends[i].down)) / 2) : 0);
      second.push_back(timestep_of(middles.back(), table));
    }
    timesteps_ = with_second_calls(timesteps_, second);
  }
  double seen(size_t call) const override { return call % 2 == 0 ? levels_.at(call / 2) : middles.at(call / 2); }
  torch::Tensor step(const torch::Tensor& output, size_t call, const torch::Tensor& x) override {
    const size_t at = call / 2;
    const torch::Tensor along = slope(output, x, seen(call));
    if (call % 2 == 0) {
      before = x;
      return x + along * (middles[at] - levels_[at]);
    }
    const torch::Tensor out = before + along * (ends[at].down - levels_[at]);
    return ancestral ? out + ends[at].up * draw_noise() : out;
  }
  bool ancestral;
  std::vector<AncestralStep> ends;
  std::vector<double> middles;
};

struct Dpm2 : KDiffusion {
  Dpm2(const Config& config, bool ancestral) : KDiffusion(config, true), ancestral(ancestral) {
    plain(spacing);
    refuse_sample(spacing, config, ancestral ? "dpm2-a" : "dpm2");
  }
  std::unique_ptr<SchedulerRun> begin(std::int64_t steps, std::int64_t) const override {
    return std::make_unique<Dpm2Run>(*this, spacing.fractional(steps, /*rounded=*/true), ancestral);
  }
  bool ancestral;
};

/// DPM-Solver++ of the stochastic equation, a step of two calls (arXiv 2211.01095). Noise is that of one Brownian path: what a step's half adds is part
/// of what the whole step does. Source: diffusers `DPMSolverSDEScheduler`.
struct DpmSdeRun : TwoCallsRun {
  DpmSdeRun(const KDiffusion& scheduler, Sigmas sigmas) : TwoCallsRun(scheduler, std::move(sigmas)) {
    const torch::Tensor table = scheduler.spacing.schedule.sigmas();
    std::vector<double> second;
    for (size_t i = 0; i + 1 < timesteps_.size(); ++i) second.push_back(timestep_of(middle(i), table));
    timesteps_ = with_second_calls(timesteps_, second);
  }
  double middle(size_t step) const { return std::sqrt(levels_[step] * levels_[step + 1]); }
  double seen(size_t call) const override { return call % 2 == 0 ? levels_.at(call / 2) : middle(call / 2); }
  torch::Tensor step(const torch::Tensor& output, size_t call, const torch::Tensor& x) override {
    const size_t at = call / 2;
    const double from = levels_[at], to = levels_[at + 1];
    torch::Tensor estimate = clean(output, x, seen(call));
    if (to == 0) return estimate;
    const bool first = call % 2 == 0;
    if (first) before = x;
    const double goal = first ? middle(at) : to;
    const auto [down, up] = AncestralStep::between(from, goal);
    // The path's variance grows as the level falls.
    const torch::Tensor drawn = draw_noise();
    torch::Tensor unit = drawn;
    if (first) {
      half = std::sqrt(from - goal) * drawn;
    } else {
      unit = (half + std::sqrt(middle(at) - to) * drawn) / std::sqrt(from - to);
    }
    return down / from * before + (1 - down / from) * estimate + up * unit;
  }
  torch::Tensor half;  // how far the path went in the first half
};

struct DpmSde : KDiffusion {
  explicit DpmSde(const Config& config) : KDiffusion(config, true) {
    plain(spacing);
    refuse_sample(spacing, config, "dpm-sde");
  }
  std::unique_ptr<SchedulerRun> begin(std::int64_t steps, std::int64_t) const override { return std::make_unique<DpmSdeRun>(*this, spacing.fractional(steps)); }
};

}  // namespace

std::unique_ptr<Scheduler> make_euler(const Config& config) { return std::make_unique<Euler>(config); }
std::unique_ptr<Scheduler> make_edm_euler(const Config& config) { return std::make_unique<EdmEuler>(config); }
std::unique_ptr<Scheduler> make_euler_ancestral(const Config& config) { return std::make_unique<EulerAncestral>(config); }
std::unique_ptr<Scheduler> make_heun(const Config& config) { return std::make_unique<Heun>(config); }
std::unique_ptr<Scheduler> make_lms(const Config& config) { return std::make_unique<Lms>(config); }
std::unique_ptr<Scheduler> make_dpm2(const Config& config) { return std::make_unique<Dpm2>(config, false); }
std::unique_ptr<Scheduler> make_dpm2_ancestral(const Config& config) { return std::make_unique<Dpm2>(config, true); }
std::unique_ptr<Scheduler> make_dpm_sde(const Config& config) { return std::make_unique<DpmSde>(config); }

}  // namespace glyphscope
