#pragma once

#include <torch/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/config.h"
#include "schedulers/noise_schedule.h"

namespace glyphscope {

/// One denoising run of a scheduler over a batch of latents. It may keep a history, so each run takes a new one.
class SchedulerRun {
 public:
  virtual ~SchedulerRun() = default;

  /// The timestep of each denoiser call, in order.
  const std::vector<double>& timesteps() const { return timesteps_; }
  /// Which of the steps a call belongs to; some schedulers ask more than once a step.
  virtual std::int64_t step_of(size_t call) const { return static_cast<std::int64_t>(call); }
  /// What unit noise is multiplied by to start.
  virtual double initial_scale() const { return 1; }
  /// What the denoiser sees of `latent` at a call.
  virtual torch::Tensor scale_input(const torch::Tensor& latent, size_t call) const {
    (void)call;
    return latent;
  }
  /// Whether the denoiser's output has a second half of channels that says how much noise a step adds.
  virtual bool learns_variance() const { return false; }
  /// The next latent, from the denoiser's output at a call. Calls come in order.
  virtual torch::Tensor step(const torch::Tensor& output, size_t call, const torch::Tensor& latent) = 0;
  /// Whether a step depends on nothing but output and latent, so that it can be gone back.
  virtual bool reversible() const { return false; }
  /// The latent that step() takes to `next`, where it clips nothing. Throws a Failure if steps are not reversible.
  virtual torch::Tensor step_back(const torch::Tensor& output, size_t call, const torch::Tensor& next) const;

  /// Where a scheduler that adds noise at each step takes it from: unit noise for the whole batch, another at each call.
  void set_noise(std::function<torch::Tensor()> noise) { noise_ = std::move(noise); }

 protected:
  /// Throws a Failure if nobody has set it.
  torch::Tensor draw_noise() const;
  std::vector<double> timesteps_;

 private:
  std::function<torch::Tensor()> noise_;
};

/// What a scheduler_config.json describes.
class Scheduler {
 public:
  virtual ~Scheduler() = default;
  /// tokens: how many the picture has, which a schedule may shift by (FLUX's does). Throws a Failure if `steps` is not within 1 and the
  /// schedule's own length.
  virtual std::unique_ptr<SchedulerRun> begin(std::int64_t steps, std::int64_t tokens = 0) const = 0;
};

/// What a model was trained to predict, which decides the schedulers that it goes with: noise over a discrete schedule, a flow, or EDM's clean latent.
enum class DenoiserKind { noise, flow, edm };
DenoiserKind denoiser_kind(const Config& config);

/// Builds the scheduler that a configuration names (`_class_name`), or the one that `name` does, over the configuration's noise schedule: one of
/// scheduler_names(), and behind it, for those that have them, "-karras", "-exponential" or "-beta" for how noise levels are spaced; without, as the
/// configuration says. Throws a Failure that names what is unknown or does not fit.
std::unique_ptr<Scheduler> make_scheduler(const Config& config, const std::string& name = "");

/// The name of a scheduler whose steps can be gone back, for a model of this kind; empty: its own.
std::string reversible_scheduler(const Config& config);

/// The names make_scheduler knows, without spacings; of a kind: those that go with its models.
std::vector<std::string> scheduler_names();
std::vector<std::string> scheduler_names(DenoiserKind kind);

// One factory a scheduler.
std::unique_ptr<Scheduler> make_ddim(const Config& config);
std::unique_ptr<Scheduler> make_ddpm(const Config& config);
std::unique_ptr<Scheduler> make_deis(const Config& config);
std::unique_ptr<Scheduler> make_dpm2(const Config& config);
std::unique_ptr<Scheduler> make_dpm2_ancestral(const Config& config);
std::unique_ptr<Scheduler> make_dpm_sde(const Config& config);
std::unique_ptr<Scheduler> make_dpm_solver(const Config& config);
std::unique_ptr<Scheduler> make_dpm_solver_single(const Config& config);
std::unique_ptr<Scheduler> make_edm_dpm_solver(const Config& config);
std::unique_ptr<Scheduler> make_edm_euler(const Config& config);
std::unique_ptr<Scheduler> make_euler(const Config& config);
std::unique_ptr<Scheduler> make_euler_ancestral(const Config& config);
std::unique_ptr<Scheduler> make_flow_euler(const Config& config);
std::unique_ptr<Scheduler> make_flow_heun(const Config& config);
std::unique_ptr<Scheduler> make_flow_lcm(const Config& config);
std::unique_ptr<Scheduler> make_heun(const Config& config);
std::unique_ptr<Scheduler> make_lcm(const Config& config);
std::unique_ptr<Scheduler> make_lms(const Config& config);
std::unique_ptr<Scheduler> make_pndm(const Config& config);
std::unique_ptr<Scheduler> make_sa_solver(const Config& config);
std::unique_ptr<Scheduler> make_tcd(const Config& config);
std::unique_ptr<Scheduler> make_unipc(const Config& config);

/// Dynamic thresholding of predicted pixels (arXiv 2205.11487, section 2.3), as a configuration sets it: those beyond what most of an
/// image's reach are saturated, and the image is scaled back. Source: diffusers `_threshold_sample`.
struct Thresholding {
  bool on = false;
  double ratio = 0.995, largest = 1;
  static Thresholding parse(const Config& config);
  /// clean: [B, C, H, W]
  torch::Tensor apply(const torch::Tensor& clean) const;
};

/// Throws unless 1 <= steps <= length.
void check_steps(std::int64_t steps, std::int64_t length);

/// Timesteps in descending order by diffusers' `timestep_spacing`.
/// Source: DDIMScheduler.set_timesteps.
std::vector<double> spaced_timesteps(const std::string& spacing, std::int64_t steps, std::int64_t length, std::int64_t offset);

/// Value of `table` at a fractional index, linearly interpolated (numpy.interp).
double interpolate(const torch::Tensor& table, double index);

}  // namespace glyphscope
