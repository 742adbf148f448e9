#include "pipelines/inversion.h"

namespace glyphscope {

Trajectory invert_latent(const torch::Tensor& last, const SchedulerRun& run, int refinements,
                         const std::function<torch::Tensor(const torch::Tensor& latent, double timestep)>& denoiser, const ProgressCallback& progress,
                         const CancelToken& cancel) {
  const auto calls = static_cast<std::int64_t>(run.timesteps().size());
  torch::Tensor latent = last;
  Trajectory out;
  out.latents.assign(static_cast<size_t>(calls) + 1, {});
  out.latents.back() = latent[0];
  for (std::int64_t call = calls - 1; call >= 0; --call) {
    const auto at = static_cast<size_t>(call);
    // The step's start is asked for, and the denoiser would have to see it: it sees the step's end first, then each estimate of the start.
    torch::Tensor start = latent, mean;
    for (int estimate = 0; estimate <= refinements; ++estimate) {
      cancel.check();
      start = run.step_back(denoiser(run.scale_input(start, at), run.timesteps()[at]), at, latent);
      // Estimates go to and fro about what is sought: their mean is nearer. The first is the poorest, and is left out.
      if (estimate > 0) mean = mean.defined() ? mean + start : start;
    }
    latent = refinements > 0 ? mean / refinements : start;
    out.latents[at] = latent[0];
    progress({"inverting", calls - call, calls});
  }
  return out;
}

}  // namespace glyphscope
