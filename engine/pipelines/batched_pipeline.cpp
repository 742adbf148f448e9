#include "pipelines/batched_pipeline.h"

#include <ATen/Parallel.h>
#include <torch/types.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <optional>
#include <thread>

#include "core/error.h"
#include "core/option.h"
#include "core/side_by_side.h"
#include "device/devices.h"
#include "device/placement.h"
#include "io/mapped_files.h"
#include "patching/prompt_taps.h"
#include "pipelines/adaptable_encoder.h"
#include "pipelines/batch.h"
#include "pipelines/inversion.h"

namespace glyphscope {

BatchedPipeline::BatchedPipeline(const ModelFolder& model, const Opening& opening, const Config& scheduler, std::vector<std::string> components)
    : FamilyModel({opening.plan.device, opening.plan.dtype}),
      components_(model, std::move(components), opening),
      scheduler_config_(scheduler),
      trainable_(*this, *this, scheduler_config_) {
  make_scheduler(scheduler_config_);  // an unknown one is an error now, not after minutes
}

void BatchedPipeline::describe(const std::string& family, const SiteTable& table, std::int64_t sample_size, std::int64_t latent_multiple) {
  for (const auto* encoder : encoders_) encoder->read_tokenizer();
  info_.family = family;
  info_.source = folder().source();
  info_.folder = folder().folder();
  info_.hash = components_.hash();
  info_.notes = components_.notes();
  info_.parameters = components_.parameters();
  info_.dtype = dtype_name(dtype());
  info_.placement = placement();
  info_.device = device_kind(placement().device);
  info_.device_label = device_label(placement().device);
  info_.why_device = components_.plan().reason;
  info_.table = table;
  for (const auto& one : words(""))
    if (std::find(info_.encoders.begin(), info_.encoders.end(), one.encoder) == info_.encoders.end()) info_.encoders.push_back(one.encoder);
  info_.size_multiple = factor() * latent_multiple;
  info_.default_width = info_.default_height = sample_size * factor();
  info_.scheduler = scheduler_config_.text("_class_name", "");
  info_.schedulers = scheduler_names(denoiser_kind(scheduler_config_));
  info_.reversible_scheduler = reversible_scheduler(scheduler_config_);
  // A model may say in recipe.json what it is best sampled with; ours do.
  if (std::filesystem::exists(folder() / "recipe.json")) {
    const Config recipe = Config::read(folder() / "recipe.json");
    info_.default_steps = recipe.size("sampling_steps", 20, 1, 1000);
    info_.default_guidance = recipe.number("sampling_guidance", 3.0);
  }
}

std::unique_ptr<Scheduler> BatchedPipeline::scheduler_of(const Request& request) const {
  if (!request.unclipped) return make_scheduler(scheduler_config_, request.scheduler);
  nlohmann::json config = scheduler_config_.json();
  config["clip_sample"] = false;
  config["thresholding"] = false;
  return make_scheduler(Config(config, scheduler_config_.where()), request.scheduler);
}

void BatchedPipeline::check(const Request& request) const {
  make_scheduler(scheduler_config_, request.scheduler)->begin(request.steps);
  if (request.safe && !(guides_by_halves() && info_.guidance_factor(request.guidance) > 1))
    reject("safe guidance needs classifier-free guidance" + std::string(info_.no_guidance > 0 ? " over 1" : ""), info_.source,
           guides_by_halves() ? "Raise " + option(Option::guidance) : "This family has none");
  check_tokens(request);
  check_paths(request);
}

void BatchedPipeline::check_tokens(const Request& request) const {
  for (const auto& row : request.rows)
    for (const auto& patch : row.plan.patches()) {
      if (patch.all_tokens()) continue;
      for (const int prompt : {row.prompt, patch.prompt}) {
        const auto& text = request.prompts[static_cast<size_t>(prompt)];
        const auto read = words(text);
        for (const TokenEncoder encoder : patch.encoders)
          if (std::none_of(read.begin(), read.end(), [&](const WordTokens& one) { return one.encoder == encoder; }))
            reject("this model's sites read no tokens of " + to_string(encoder), info_.source);
        const bool asks_text = std::find(patch.tokens.begin(), patch.tokens.end(), TokenGroup::text) != patch.tokens.end();
        if (asks_text && std::all_of(read.begin(), read.end(), [](const WordTokens& one) { return one.text_begin == one.text_end; }))
          reject("the prompt has no text in double quotes, whose tokens a patch asks for: '" + text + "'");
      }
    }
}

void BatchedPipeline::check_paths(const Request& request) const {
  const auto run = make_scheduler(scheduler_config_, request.scheduler)->begin(request.steps, tokens(request));
  const size_t calls = run->timesteps().size();
  const std::vector<std::int64_t> shape{channels(), request.height / factor(), request.width / factor()};
  for (size_t i = 0; i < request.rows.size(); ++i) {
    const Following& follow = request.rows[i].follow;
    const std::string where = "row " + std::to_string(i);
    if (!follow.path) continue;
    const auto fits = [&](const torch::Tensor& latent) { return latent.sizes() == at::IntArrayRef(shape); };
    const auto& path = *follow.path;
    if (path.latents.size() != calls + 1 || !std::all_of(path.latents.begin(), path.latents.end(), fits) ||
        !(path.outputs.empty() || path.outputs.size() == calls))
      reject("the trajectory that it follows is of another number of steps, scheduler or size", where);
    if (path.outputs.empty() && follow.until_step > 0 && !run->reversible())
      reject("only ddim, flow and edm can follow an inverted picture beyond the first step", where,
             "Choose " + option(Option::scheduler, reversible_scheduler(scheduler_config_)));
    if (follow.mask.defined() && follow.mask.sizes() != at::IntArrayRef(shape).slice(1)) reject("the mask is not as large as the latents", where);
  }
}

// Two threads in one row's arithmetic are hardly faster than one where the arithmetic is small (1.1 times on the demo models; slower where the machine is
// shared): there rows are drawn side by side, a thread each, and a row alone by one. By a rule, not by a stopwatch, on which a picture's last digit would
// depend.
bool BatchedPipeline::is_small(const Request& request) const {
  constexpr double kSmall = 2e10;  // parameters times points of the picture
  const double size =
      static_cast<double>(info_.table.denoiser_parameters) * static_cast<double>(request.width * request.height) / static_cast<double>(factor() * factor());
  return size <= kSmall;
}

bool BatchedPipeline::is_shared_out(const Request& request) const { return placement().device.is_cpu() && is_small(request) && !is_side_by_side(); }

BatchedPipeline::Shares BatchedPipeline::shares_of(const Request& request) const {
  const auto count = static_cast<std::int64_t>(request.rows.size()), rows = std::min(count, request.rows_at_once);
  if (!is_shared_out(request)) return {1, static_cast<size_t>(rows)};
  const std::int64_t threads = at::get_num_threads(), shares = std::clamp<std::int64_t>(threads, 1, std::max<std::int64_t>(1, rows));
  const std::int64_t at_once = (rows + shares - 1) / shares;
  return {std::clamp<std::int64_t>(threads, 1, std::max<std::int64_t>(1, (count + at_once - 1) / std::max<std::int64_t>(1, at_once))),
          static_cast<size_t>(at_once)};
}

std::int64_t BatchedPipeline::rows_side_by_side(const Request& asked) const { return is_shared_out(resolve(asked)) ? at::get_num_threads() : 1; }

std::int64_t BatchedPipeline::denoiser_rows(const Request& asked) const {
  Request request = resolve(asked);
  request.rows = distinct_rows(*this, info_, request).rows;
  const size_t at_once = shares_of(request).at_once;
  std::int64_t rows = 0;
  for (size_t begin = 0; begin < request.rows.size(); begin += at_once)
    rows += rows_together(*this, info_, request, begin, std::min(begin + at_once, request.rows.size()));
  return rows * static_cast<std::int64_t>(scheduler_of(request)->begin(request.steps, tokens(request))->timesteps().size());
}

Result BatchedPipeline::run(const Request& request, const Observer& observer, const CancelToken& cancel) {
  const DistinctRows distinct = distinct_rows(*this, info_, request);
  if (distinct.rows.size() == request.rows.size()) return draw(request, observer, cancel);
  Request once = request;
  once.rows = distinct.rows;
  Result result = draw(once, observer, cancel);
  const torch::Tensor of = torch::tensor(distinct.of, on_host(torch::kInt64));
  result.images = result.images.index_select(0, of);
  result.latents = result.latents.index_select(0, of);
  if (!result.paths.empty()) {
    std::vector<std::shared_ptr<const Trajectory>> paths;
    for (const std::int64_t row : distinct.of) paths.push_back(result.paths[static_cast<size_t>(row)]);
    result.paths = std::move(paths);
  }
  return result;
}

Result BatchedPipeline::draw(const Request& request, const Observer& observer, const CancelToken& cancel) {
  const auto start = std::chrono::steady_clock::now();
  Result result;
  const size_t count = request.rows.size();
  const bool shared_out = is_shared_out(request);
  const std::int64_t rows = std::min<std::int64_t>(request.rows_at_once, static_cast<std::int64_t>(count));
  const std::int64_t workers = shares_of(request).workers;
  size_t at_once = shares_of(request).at_once;
  if (workers == 1 && fits_.pixels == request.width * request.height) at_once = std::min(at_once, fits_.rows);
  const auto batches_of = [&](size_t rows_left) { return static_cast<std::int64_t>((rows_left + at_once - 1) / at_once); };
  const auto scheduler = scheduler_of(request);
  const auto calls_each = static_cast<std::int64_t>(scheduler->begin(request.steps, tokens(request))->timesteps().size());
  observer.progress({"reading prompts", 0, batches_of(count) * calls_each});
  const ReadPrompts read = read_prompts(*this, info_, request, result.notes, cancel);
  if (!placement().device.is_cpu() && at_once > 1) at_once = std::min(at_once, rows_that_fit(request, read));
  std::int64_t total = batches_of(count) * calls_each;

  std::vector<DrawnBatch> drawn;
  std::atomic<std::int64_t> calls = 0;
  // The observer is called on the thread that runs the request, for all threads.
  const auto thread = std::this_thread::get_id();
  const auto tell = [&] {
    if (std::this_thread::get_id() == thread) observer.progress({"denoising", calls, total});
  };
  const auto called = [&] {
    ++calls;
    tell();
  };
  const auto draw = [&](size_t begin, size_t end) { return draw_batch(*this, info_, *scheduler, request, read, begin, end, called, cancel); };
  tell();
  try {
    if (workers > 1) {
      drawn.resize(static_cast<size_t>(batches_of(count)));
      side_by_side(batches_of(count), workers, [&](std::int64_t number) {
        const torch::InferenceMode inference;
        const size_t begin = static_cast<size_t>(number) * at_once;
        drawn[static_cast<size_t>(number)] = draw(begin, std::min(begin + at_once, count));
      });
      tell();
    } else {
      std::optional<ComputeThreads> one;
      if (shared_out) one.emplace(1);
      for (size_t begin = 0; begin < count;) {
        const size_t end = std::min(begin + at_once, count);
        const std::int64_t before = calls;
        try {
          drawn.push_back(draw(begin, end));
          begin = end;
        } catch (const c10::Error& error) {
          if (!is_out_of_memory(error)) throw;
          // What the batch had taken is free again: half of its rows may fit.
          if (end - begin == 1) throw Failure(does_not_fit(error, request));
          at_once = (end - begin + 1) / 2;
          // Remembered as what a row takes; on the CPU, where that is not measured, by the size of the picture.
          if (placement().device.is_cpu())
            fits_ = {request.width * request.height, at_once};
          else
            row_bytes(request, read) *= 2;
          release_cached_memory(placement().device);
          calls = before;
          total = before + batches_of(count - begin) * calls_each;
        }
      }
      if (at_once < static_cast<size_t>(rows) && workers == 1 && !shared_out)
        result.notes.push_back("The memory of " + info_.device_label + " holds " + std::to_string(at_once) + " of these rows at once");
    }
    check_mapped_files();
  } catch (const Failure& failure) {
    if (failure.error().code == ErrorCode::internal) {
      check_mapped_files();
      find_bad_numbers();
    }
    throw;
  }

  std::vector<torch::Tensor> images, latents;
  for (auto& one : drawn) {
    latents.push_back(one.latents);
    images.insert(images.end(), one.images.begin(), one.images.end());
    for (const auto& note : one.notes)
      if (std::find(result.notes.begin(), result.notes.end(), note) == result.notes.end()) result.notes.push_back(note);
    result.paths.insert(result.paths.end(), one.paths.begin(), one.paths.end());
    result.denoiser_calls += one.calls;
    result.denoiser_rows += one.rows;
  }
  result.images = torch::cat(images);
  for (size_t row = 0; row < request.rows.size(); ++row)
    if (const auto& kept = request.rows[row].kept) {
      torch::Tensor image = result.images[static_cast<std::int64_t>(row)];
      image.copy_(kept->applied(image));
    }
  result.latents = torch::cat(latents);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

std::uint64_t& BatchedPipeline::row_bytes(const Request& request, const ReadPrompts& read) {
  const bool shares_maps = std::any_of(request.rows.begin(), request.rows.end(), [](const Row& row) { return row.maps.has_value(); });
  return row_bytes_[{request.width, request.height, request.method, read.guided, request.safe.has_value() || shares_maps}];
}

size_t BatchedPipeline::rows_that_fit(const Request& request, const ReadPrompts& read) {
  const torch::Device device = placement().device;
  std::uint64_t& each = row_bytes(request, read);
  if (each == 0) {
    try {
      each = std::max<std::uint64_t>(1, memory_taken_by(device, [&] { call_for_one_row(*this, info_, request, read); }));
    } catch (const c10::Error& error) {
      if (!is_out_of_memory(error)) throw;
      return 1;  // whose own error says the numbers
    }
  }
  const std::uint64_t free = std::min(memory_for_tensors(device), components_.plan().work_bytes);
  constexpr double kShare = 0.9;  // what is not the denoiser's own has to go somewhere too
  return std::max<size_t>(1, static_cast<size_t>(kShare * static_cast<double>(free) / static_cast<double>(each)));
}

Error BatchedPipeline::does_not_fit(const c10::Error& error, const Request& request) const {
  const torch::Device device = placement().device;
  const DeviceMemory memory = device_memory(device);
  return {ErrorCode::out_of_memory,
          "one image of " + std::to_string(request.width) + " x " + std::to_string(request.height) + " pixels does not fit into the memory of " +
              info_.device_label + ", which has " + memory_text(memory.free) + " of " + memory_text(memory.total) + " free: " + error.what_without_backtrace(),
          "", "Use a smaller image, " + option(Option::dtype, "bf16") + ", or " + option(Option::device, device.is_cpu() ? "cuda" : "cpu")};
}

void BatchedPipeline::find_bad_numbers() const {
  components_.find_damaged();
  if (!info_.adapters.empty())
    reject("with this adapter the denoiser's output is not a number", info_.adapters.back().file, "Lower its strength, or do without it");
  if (dtype() != torch::kFloat32)
    reject(std::string("in ") + dtype_name(dtype()) + " the denoiser's output is not a number", info_.source,
           "Its weights need a wider one: " + option(Option::dtype, "fp32"));
}

Trajectory BatchedPipeline::run_inversion(const Inversion& inversion, const Request& request, const Observer& observer, const CancelToken& cancel) {
  if (info_.enlarges) reject("a model that enlarges pictures cannot invert them", info_.source);
  const auto run = make_scheduler(scheduler_config_, request.scheduler)->begin(request.steps, tokens(request));
  if (!run->reversible()) reject("this scheduler's steps cannot be gone back", option(Option::scheduler), "ddim, flow and edm can");
  const auto calls = static_cast<std::int64_t>(run->timesteps().size());
  observer.progress({"inverting", 0, calls});
  std::vector<std::string> notes;
  Prompt prompt;
  {
    const ReadingPrompts reading(*this);
    prompt = encode(inversion.caption, request.clip_skip, notes);
  }
  const Conditioning conditioning = conditioned(prompt, request, false).to(placement().device);
  PromptTaps taps(info_.table, {{site_embedding(prompt), prompt.mask}}, {{0, nullptr}}, cancel);
  LockstepTaps joint(info_.table, {{}}, cancel);
  const bool lockstep = info_.methods.front() == PatchMethod::lockstep;
  const torch::Tensor pixels = inversion.picture.unsqueeze(0).to(torch::kFloat32) / 127.5 - 1;
  Trajectory out = invert_latent(
      encode_pixels(pixels).mean.to(placement().device, torch::kFloat32), *run, inversion.refinements,
      [&](const torch::Tensor& x, double t) {
        return denoiser(x.to(dtype()), torch::full({1}, t, x.options().dtype(torch::kFloat32)), conditioning, lockstep ? static_cast<Taps*>(&joint) : &taps)
            .to(torch::kFloat32)
            .slice(1, 0, channels());
      },
      observer.progress, cancel);
  if (!out.latents.front().isfinite().all().item<bool>()) {
    find_bad_numbers();
    throw Failure({ErrorCode::internal, "the inverted latents are not a number", "", "No cause was found in weights, adapters or dtype; please report it"});
  }
  return out.to(torch::kCPU);
}

}  // namespace glyphscope
