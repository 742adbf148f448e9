#include "pipelines/attribution.h"

#include <torch/autograd.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/option.h"
#include "device/devices.h"
#include "device/placement.h"
#include "patching/attribution_taps.h"
#include "pipelines/batch.h"
#include "pipelines/batched_pipeline.h"
#include "schedulers/noise_schedule.h"
#include "schedulers/scheduler.h"

namespace glyphscope {

namespace {

// What a score's gradient by pixels is by what was denoised, [1, C, h, w] fp32; undefined where none comes through the decoder.
torch::Tensor through_decoder(const FamilyModel& model, const torch::Tensor& latent, const torch::Tensor& pixels, const CancelToken& cancel) {
  const torch::AutoGradMode gradient(true);
  const torch::Tensor clean = latent.detach().clone().requires_grad_();
  std::vector<std::string> notes;
  try {
    const torch::Tensor decoded = model.decode(clean, notes, cancel);
    if (!decoded.requires_grad()) return {};
    const torch::Tensor found = torch::autograd::grad({decoded}, {clean}, {pixels.unsqueeze(0).to(decoded.options())}).front().to(torch::kFloat32);
    return found.isfinite().all().item<bool>() && found.any().item<bool>() ? found : torch::Tensor();
  } catch (const c10::Error& error) {
    if (!is_out_of_memory(error)) throw;
    release_cached_memory(clean.device());
    return {};
  }
}

// Whether what was denoised is the less of the model's output there is: of noise or of a flow from it.
bool predicts_noise(const Config& scheduler) {
  const Prediction output = parse_prediction(scheduler);
  return denoiser_kind(scheduler) == DenoiserKind::edm ? output == Prediction::v : output != Prediction::sample;
}

}  // namespace

Attribution BatchedPipeline::run_attribution(const Request& request, const AttributionOptions& options, const CancelToken& cancel) {
  // Their weights would be gone when the gradient comes back to them.
  if (streams_denoiser())
    reject("gradients of all sites need the whole denoiser on " + info_.device_label + ", and its blocks are streamed there", info_.source,
           "Search exhaustively, or use more " + option(Option::memory));
  Attribution out;
  const Row row = request.rows.front();
  Request drawing = request;
  drawing.rows = {row};
  drawing.keep_paths = true;
  Result drawn;
  {
    const torch::InferenceMode inference;
    drawn = run(drawing, {}, cancel);
  }
  out.denoiser_rows = drawn.denoiser_rows;
  const torch::Device device = placement().device;
  std::vector<std::string> notes;
  const bool joint = info_.methods.front() == PatchMethod::lockstep;
  const int own = row.prompt, other = 1 - row.prompt;
  std::vector<Prompt> prompts;
  {
    const torch::NoGradGuard no_gradient;
    const ReadingPrompts reading(*this);
    for (const auto& prompt : request.prompts) {
      Prompt read = encode(prompt, request.clip_skip, notes);
      // What a run remembers was made in inference mode; copies can be differentiated with.
      for (torch::Tensor* one : {&read.embedding, &read.pooled, &read.mask})
        if (one->defined()) *one = one->clone();
      prompts.push_back(std::move(read));
    }
  }
  const auto of = [&](int prompt) -> const Prompt& { return prompts[static_cast<size_t>(prompt)]; };
  // The picture's own row and the other's, which has the same picture and, as patched rows have it, the same pooled prompt.
  Conditioning both;
  {
    const torch::NoGradGuard no_gradient;
    std::vector<Conditioning> rows{conditioned(of(own), request, false), conditioned(of(other), request, false)};
    rows[1].pooled = rows[0].pooled;
    both = joined(rows).to(device);
  }
  std::vector<PromptStates> states;
  if (!joint)
    for (const int prompt : {own, other}) states.push_back({site_embedding(of(prompt)).detach(), of(prompt).mask});
  Conditioning alone = both;
  if (!joint)
    for (torch::Tensor* one : {&alone.embedding, &alone.pooled, &alone.sizes, &alone.noise_level, &alone.guidance, &alone.picture, &alone.prompt_mask})
      if (one->defined()) *one = one->narrow(0, 0, 1);

  std::int64_t most_heads = 1;
  for (const auto& site : info_.table.sites) most_heads = std::max<std::int64_t>(most_heads, site.heads);
  const std::vector<std::int64_t> shape{static_cast<std::int64_t>(info_.table.sites.size()), most_heads};
  torch::Tensor effects = torch::zeros(shape, on_host(torch::kFloat64));
  const auto schedule = scheduler_of(request)->begin(request.steps, tokens(request));
  const auto calls = static_cast<std::int64_t>(schedule->timesteps().size());
  const Trajectory& path = *drawn.paths.front();
  torch::Tensor score;  // its gradient by the denoiser's output, but for its size
  if (options.pixels.defined()) {
    score = through_decoder(*this, path.latents.back().unsqueeze(0).to(device), options.pixels, cancel);
    if (score.defined() && predicts_noise(scheduler_config_)) score = -score;
  }
  torch::Tensor weight = torch::ones({1, 1, 1, 1}, placement().options().dtype(torch::kFloat32));
  if (options.mask.defined() && !score.defined())
    weight = torch::adaptive_avg_pool2d(options.mask.to(torch::kFloat32).unsqueeze(0).unsqueeze(0), {request.height / factor(), request.width / factor()})
                 .to(device);
  int passes = 0;
  for (const double share : options.at) {
    cancel.check();
    const auto call = std::clamp<std::int64_t>(std::llround(share * static_cast<double>(calls - 1)), 0, calls - 1);
    const torch::Tensor latent = path.latents[static_cast<size_t>(call)].clone().unsqueeze(0).to(device);
    const torch::Tensor input = schedule->scale_input(latent, static_cast<size_t>(call)).to(dtype());
    const double timestep = schedule->timesteps()[static_cast<size_t>(call)];
    const auto predict = [&](std::int64_t rows, const Conditioning& conditioning, Taps* taps) {
      const torch::Tensor x = input.expand({rows, -1, -1, -1}).contiguous();
      return denoiser(x, torch::full({rows}, timestep, x.options().dtype(torch::kFloat32)), conditioning, taps).to(torch::kFloat32).slice(1, 0, channels());
    };
    torch::Tensor towards;
    {
      const torch::NoGradGuard no_gradient;
      const torch::Tensor plain = predict(2, both, nullptr);
      const torch::Tensor change = (plain[1] - plain[0]).unsqueeze(0) * weight;
      const double size = change.pow(2).sum().item<double>();
      if (!(size > 0)) continue;  // prompts that the denoiser does not tell apart here
      towards = score.defined() ? score / (score.norm() * std::sqrt(size)) : change / size;
      out.denoiser_rows += 2;
    }
    for (const double strength : options.strengths) {
      torch::Tensor strengths = torch::full(shape, strength, placement().options().dtype(torch::kFloat32)).requires_grad_();
      AttributionTaps taps(info_.table, strengths, states, cancel);
      const torch::AutoGradMode gradient(true);
      const torch::Tensor moved = (predict(joint ? 2 : 1, alone, &taps)[0].unsqueeze(0) * weight * towards).sum();
      const torch::Tensor found = torch::autograd::grad({moved}, {strengths}, {}, std::nullopt, false, /*allow_unused=*/true).front();
      if (found.defined()) effects += found.to(torch::kCPU, torch::kFloat64) / static_cast<double>(options.strengths.size());
      out.denoiser_rows += joint ? 6 : 3;
    }
    ++passes;
  }
  if (passes > 0) effects /= passes;
  if (!effects.isfinite().all().item<bool>()) throw Failure({ErrorCode::internal, "a gradient is not a number", info_.source, "In fp32 it may be one"});
  out.effects = effects;
  return out;
}

}  // namespace glyphscope
