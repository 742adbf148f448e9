#include "pipelines/denoise.h"

#include <torch/types.h>

#include "core/error.h"
#include "core/option.h"
#include "core/random.h"
#include "device/placement.h"

namespace glyphscope {

torch::Tensor denoise(SchedulerRun& scheduler, const torch::Tensor& noise, const std::function<torch::Tensor(const torch::Tensor&, double)>& denoiser,
                      const DenoiseOptions& options) {
  torch::Tensor latent = noise * scheduler.initial_scale();
  const bool guided = options.guidance > 1;
  const std::int64_t parts = options.safe ? 3 : 2;
  std::optional<SafeGuidanceRun> safe;
  if (options.safe) safe.emplace(*options.safe);
  // Each row's own memory: what is kept of some rows does not keep the others.
  const auto keep = [&](std::vector<torch::Tensor> Trajectory::*list, const torch::Tensor& batch) {
    if (!options.record) return;
    options.record->resize(static_cast<size_t>(batch.size(0)));
    for (std::int64_t row = 0; row < batch.size(0); ++row) ((*options.record)[static_cast<size_t>(row)].*list).push_back(batch[row].clone());
  };
  if (options.followers) latent = options.followers->place(0, latent);
  keep(&Trajectory::latents, latent);
  for (size_t call = 0; call < scheduler.timesteps().size(); ++call) {
    options.cancel.check();
    options.before_call(static_cast<std::int64_t>(call));
    const auto number = static_cast<std::int64_t>(call);
    const auto ask = [&] {
      torch::Tensor input = scheduler.scale_input(latent, call);
      torch::Tensor output =
          denoiser(guided ? torch::cat(std::vector<torch::Tensor>(static_cast<size_t>(parts), input)) : input, scheduler.timesteps()[call]).to(torch::kFloat32);
      options.after_call();
      const std::int64_t channels = latent.size(1);
      torch::Tensor variance = output.slice(1, channels);
      output = output.slice(1, 0, channels);
      if (scheduler.learns_variance() && variance.size(1) != channels)
        reject("the scheduler expects the denoiser to say a variance too: " + std::to_string(2 * channels) + " channels, not " +
                   std::to_string(channels + variance.size(1)),
               "scheduler", "Scheduler and denoiser belong to different models; " + option(Option::scheduler) + " chooses another");
      if (guided) {
        const auto rows = output.chunk(parts);
        output = rows[0] + options.guidance * (safe ? safe->guide(rows[0], rows[1], rows[2], static_cast<std::int64_t>(call)) : rows[1] - rows[0]);
        variance = variance.chunk(parts)[1];
      }
      return scheduler.learns_variance() ? torch::cat({output, variance}, 1) : output;
    };
    torch::Tensor output = options.followers ? options.followers->output(number, latent) : torch::Tensor();
    if (!output.defined()) {
      output = ask();
      if (options.followers) output = options.followers->merged(number, output.clone());
    }
    keep(&Trajectory::outputs, output);
    latent = scheduler.step(output, call, latent);
    if (options.followers) latent = options.followers->place(number + 1, latent);
    keep(&Trajectory::latents, latent);
  }
  if (!latent.isfinite().all().item<bool>())
    throw Failure({ErrorCode::internal, "the denoiser's output is not a number", "", "No cause was found in weights, adapters or dtype; please report it"});
  return latent;
}

void RowNoise::add(std::uint64_t seed) { generators_.push_back(make_generator(seed)); }

torch::Tensor RowNoise::draw(at::IntArrayRef shape) {
  std::vector<torch::Tensor> rows;
  for (auto& generator : generators_) rows.push_back(torch::randn(shape, generator, on_host()));
  return torch::cat(rows);
}

torch::Tensor to_pixels(const torch::Tensor& decoded) { return ((decoded.to(torch::kFloat32) / 2 + 0.5).clamp(0, 1) * 255).round().to(torch::kUInt8); }

}  // namespace glyphscope
