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
#include "io/mapped_files.h"
#include "patching/map_taps.h"
#include "patching/prompt_taps.h"
#include "pipelines/denoise.h"
#include "pipelines/inversion.h"

namespace glyphscope {

namespace {

const char* dtype_name(torch::ScalarType dtype) { return dtype == torch::kBFloat16 ? "bf16" : dtype == torch::kFloat16 ? "fp16" : "fp32"; }

}  // namespace

torch::ScalarType parse_dtype(const std::string& name) {
  // fp16 arithmetic is some 300 times slower than bf16 in the convolutions of a CPU, so "auto" computes in fp32 there.
  if (name == "auto" || name == "fp32") return torch::kFloat32;
  if (name == "bf16") return torch::kBFloat16;
  if (name == "fp16") return torch::kFloat16;
  reject("unknown dtype '" + name + "'", option(Option::dtype), "Known are auto, fp32, bf16 and fp16");
}

BatchedPipeline::BatchedPipeline(const ModelFolder& model, const OpenOptions& options, const Config& scheduler, std::vector<std::string> components)
    : components_(model, std::move(components), options.cancel), scheduler_config_(scheduler), dtype_(parse_dtype(options.dtype)) {
  make_scheduler(scheduler_config_);  // an unknown one is an error now, not after minutes
}

void BatchedPipeline::describe(const std::string& family, const SiteTable& table, std::int64_t sample_size, std::int64_t latent_multiple) {
  info_.family = family;
  info_.source = folder().source();
  info_.folder = folder().folder();
  info_.hash = components_.hash();
  info_.parameters = components_.parameters();
  info_.dtype = dtype_name(dtype_);
  info_.table = table;
  info_.size_multiple = factor() * latent_multiple;
  info_.default_width = info_.default_height = sample_size * factor();
  info_.scheduler = scheduler_config_.text("_class_name", "");
  // A model may say in recipe.json what it is best sampled with; ours do.
  if (std::filesystem::exists(folder() / "recipe.json")) {
    const Config recipe = Config::read(folder() / "recipe.json");
    info_.default_steps = recipe.size("sampling_steps", 20, 1, 1000);
    info_.default_guidance = recipe.number("sampling_guidance", 3.0);
  }
}

Conditioning BatchedPipeline::conditioned(const Prompt& prompt, const Request& request, bool negative) const {
  Conditioning out = beside_prompt(request, negative);
  out.embedding = prompt.embedding;
  out.pooled = prompt.pooled;
  return out;
}

// K and V that each prompt's own run gives, where a plan sees that prompt.
std::vector<KvRecord> BatchedPipeline::record(const Request& request, const std::vector<Prompt>& prompts) const {
  std::vector<KvRecord> records(request.prompts.size());
  std::vector<bool> wanted(request.prompts.size());
  for (const auto& row : request.rows)
    for (const auto& patch : row.plan.patches()) wanted[static_cast<size_t>(patch.prompt)] = true;
  KvRecorder::Size size{.element_bytes = static_cast<std::int64_t>(torch::elementSize(dtype_))};
  for (const auto& site : info_.table.sites) size.width_sum += site.heads * site.head_width;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (!wanted[i]) continue;
    size.tokens = prompts[i].embedding.size(1);
    // Prompt K and V of a cross-attention layer depend on neither latent nor step: one forward pass records them all.
    KvRecorder recorder(size, request.record_budget, 0, /*depends_on_step=*/false);
    const std::int64_t side = info_.size_multiple / factor();
    denoiser(torch::zeros({1, channels(), side, side}, dtype_), torch::zeros({1}), conditioned(prompts[i], request, false), &recorder);
    records[i] = recorder.record();
  }
  return records;
}

// Rows that go through the denoiser together. With lockstep patching they hold, beside those asked for, the unpatched rows
// whose K and V others take.
struct BatchedPipeline::Batch {
  struct Member {
    int prompt, pooled;
    std::uint64_t seed;
    const PatchPlan* plan;
    std::map<int, int> sources;  // by prompt, the member to take K and V from
    std::int64_t row = 0;        // of the request, whose picture it reads
    Following follow;
    const PromptToPrompt* maps = nullptr;
    int map_source = -1;  // the member whose attention maps it takes
  };
  std::vector<Member> members;
  std::int64_t asked = 0;  // the first of them
};

namespace {

// A row's parts in one forward pass; guidance takes the first two, safe guidance all three.
enum class Part { unconditional, own, unwanted };

}  // namespace

BatchedPipeline::Batch BatchedPipeline::make_batch(const Request& request, size_t begin, size_t end) {
  Batch batch;
  for (size_t i = begin; i < end; ++i) {
    const Row& row = request.rows[i];
    batch.members.push_back({row.prompt,
                             row.pooled < 0 ? row.prompt : row.pooled,
                             row.seed,
                             &row.plan,
                             {},
                             static_cast<std::int64_t>(i),
                             row.follow,
                             row.maps ? &*row.maps : nullptr});
  }
  batch.asked = static_cast<std::int64_t>(batch.members.size());
  // The member, new if there is none, that is drawn of a prompt alone, from the noise of member `i` or, until it leaves, on the way that this follows.
  const auto companion = [&](size_t i, int prompt, std::int64_t leaves) {
    const Batch::Member wanted{prompt, prompt, batch.members[i].seed, nullptr, {}, batch.members[i].row, {batch.members[i].follow.path, leaves, {}}};
    auto found = std::find_if(batch.members.begin(), batch.members.end(), [&](const Batch::Member& one) {
      return one.prompt == wanted.prompt && one.pooled == wanted.pooled && one.seed == wanted.seed && (!request.pictures.defined() || one.row == wanted.row) &&
             (!one.plan || one.plan->patches().empty()) && !one.maps && one.follow.path == wanted.follow.path && one.follow.leaves == leaves &&
             !one.follow.mask.defined();
    });
    const auto at = static_cast<int>(found - batch.members.begin());
    if (found == batch.members.end()) batch.members.push_back(wanted);
    return at;
  };
  for (size_t i = 0; i < static_cast<size_t>(batch.asked); ++i) {
    if (request.method == PatchMethod::lockstep)
      for (const auto& patch : batch.members[i].plan->patches()) {
        const int at = companion(i, patch.prompt, 0);
        batch.members[i].sources[patch.prompt] = at;
      }
    // Whose maps are taken goes a way that is known to its end: that of the picture that was drawn, or inverted.
    if (batch.members[i].maps) {
      const int at = companion(i, batch.members[i].maps->source, batch.members[i].follow.path ? request.steps : 0);
      batch.members[i].map_source = at;
    }
  }
  return batch;
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
  if (request.safe && !(guides_by_halves() && request.guidance > 1))
    reject("safe guidance needs classifier-free guidance over 1", info_.source,
           guides_by_halves() ? "Raise " + option(Option::guidance) : "This family has none");
  check_paths(request);
}

namespace {

// PNDM's one call more belongs to the step before it.
std::int64_t step_of(std::int64_t call, std::int64_t calls, std::int64_t steps) { return calls > steps && call > 0 ? call - 1 : call; }

}  // namespace

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
      reject("the way it is to follow is of another number of steps, scheduler or size", where);
    if (path.outputs.empty() && follow.leaves > 0 && !run->reversible())
      reject("a picture that was inverted can be left at a later step by ddim and flow alone", where, "Choose " + option(Option::scheduler, "ddim"));
    if (follow.mask.defined() && follow.mask.sizes() != at::IntArrayRef(shape).slice(1)) reject("the mask is not as large as the latents", where);
  }
}

std::vector<MapTaps::Row> BatchedPipeline::aligned_maps(const Request& request, const Batch& batch, std::int64_t first, std::int64_t tokens) const {
  std::vector<MapTaps::Row> out;
  const bool joint = info_.methods.front() == PatchMethod::lockstep;
  const std::int64_t points = request.height * request.width / (factor() * factor());
  const auto steps = [&](double share) { return static_cast<int>(std::floor(share * static_cast<double>(request.steps) + 1e-9)); };
  for (size_t i = 0; i < batch.members.size(); ++i) {
    const Batch::Member& member = batch.members[i];
    if (member.map_source < 0) continue;
    const auto source = words(request.prompts[static_cast<size_t>(member.maps->source)]), own = words(request.prompts[static_cast<size_t>(member.prompt)]);
    std::int64_t most = member.maps->self_tokens;
    if (most == 0) most = joint ? points : std::max<std::int64_t>(256, points / 16);
    out.push_back({first + static_cast<std::int64_t>(i), first + member.map_source, align_tokens(source, own, tokens), steps(member.maps->cross_share),
                   steps(member.maps->self_share), most});
  }
  return out;
}

// What all batches of a run have from its prompts.
struct BatchedPipeline::RunPrompts {
  std::vector<Prompt> prompts;  // the request's, then what the unconditional half reads, then what is unwanted
  int negative = 0, unwanted = 0;
  bool guided = false;
  std::vector<torch::Tensor> embeddings;  // as sites get them
  std::vector<KvRecord> records;
  std::vector<const KvRecord*> sources;
};

struct BatchedPipeline::Drawn {
  torch::Tensor latents;
  std::vector<torch::Tensor> images;
  std::vector<std::shared_ptr<const Trajectory>> paths;
  std::int64_t calls = 0, rows = 0;
};

// Two threads in one row's arithmetic are hardly faster than one where the arithmetic is small (1.1 times on the demo models; slower where the machine is
// shared): there rows are drawn side by side, a thread each, and a row alone by one. By a rule, not by a stopwatch, on which a picture's last digit would
// depend.
bool BatchedPipeline::is_small(const Request& request) const {
  constexpr double kSmall = 2e10;  // parameters times points of the picture
  const double size =
      static_cast<double>(info_.table.denoiser_parameters) * static_cast<double>(request.width * request.height) / static_cast<double>(factor() * factor());
  return size <= kSmall;
}

namespace {

// LibTorch computes on as many threads as are given as long as this lives.
class Threads {
 public:
  explicit Threads(int count) : before_(at::get_num_threads()) { at::set_num_threads(count); }
  ~Threads() { at::set_num_threads(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_;
};

}  // namespace

Result BatchedPipeline::run(const Request& request, const Observer& observer, const CancelToken& cancel) {
  const auto start = std::chrono::steady_clock::now();
  Result result;
  RunPrompts read;
  read.guided = guides_by_halves() && request.guidance > 1;
  const size_t count = request.rows.size();
  const bool shared_out = is_small(request) && !is_side_by_side();
  const std::int64_t rows = std::min<std::int64_t>(request.rows_at_once, static_cast<std::int64_t>(count));
  const std::int64_t workers = shared_out ? std::clamp<std::int64_t>(at::get_num_threads(), 1, std::max<std::int64_t>(1, rows)) : 1;
  const size_t at_once = (std::min(count, static_cast<size_t>(request.rows_at_once)) + static_cast<size_t>(workers) - 1) / static_cast<size_t>(workers);
  const auto batches = static_cast<std::int64_t>((count + at_once - 1) / at_once);
  const std::int64_t total = batches * static_cast<std::int64_t>(scheduler_of(request)->begin(request.steps, tokens(request))->timesteps().size());
  observer.progress({"reading prompts", 0, total});
  read.negative = static_cast<int>(request.prompts.size());
  read.unwanted = read.negative + 1;
  {
    struct Reading {  // however it ends, large encoders go
      BatchedPipeline& pipeline;
      ~Reading() { pipeline.prompts_read(); }
    } reading{*this};
    for (const auto& prompt : request.prompts) {
      cancel.check();
      read.prompts.push_back(encode(prompt, request.clip_skip, result.notes));
    }
    cancel.check();
    if (read.guided) read.prompts.push_back(encode_negative(request, result.notes));
    if (request.safe) read.prompts.push_back(encode(request.safe->unwanted, request.clip_skip, result.notes));
  }
  if (request.method == PatchMethod::recording) {
    read.records = record(request, read.prompts);
    for (const auto& one : read.records) read.sources.push_back(one.bytes() > 0 ? &one : nullptr);
  }
  for (const auto& prompt : read.prompts) read.embeddings.push_back(site_embedding(prompt));

  std::vector<Drawn> drawn(static_cast<size_t>(batches));
  std::atomic<std::int64_t> calls = 0;
  // The observer is told on the thread that runs the request, of what all have done.
  const auto thread = std::this_thread::get_id();
  const auto called = [&](std::int64_t more) {
    const std::int64_t done = calls += more;
    if (std::this_thread::get_id() == thread) observer.progress({"denoising", done, total});
  };
  const auto draw = [&](std::int64_t number) {
    const size_t begin = static_cast<size_t>(number) * at_once;
    drawn[static_cast<size_t>(number)] = draw_batch(request, read, begin, std::min(begin + at_once, count), called, cancel);
  };
  called(0);
  try {
    if (workers > 1) {
      side_by_side(batches, workers, [&](std::int64_t number) {
        const torch::InferenceMode inference;
        draw(number);
      });
      called(0);
    } else {
      std::optional<Threads> one;
      if (shared_out) one.emplace(1);
      for (std::int64_t number = 0; number < batches; ++number) draw(number);
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

void BatchedPipeline::find_bad_numbers() const {
  components_.find_damaged();
  if (!info_.adapters.empty())
    reject("with this adapter the denoiser's output is not a number", info_.adapters.back().file, "Lower its strength, or do without it");
  if (dtype_ != torch::kFloat32)
    reject(std::string("in ") + dtype_name(dtype_) + " the denoiser's output is not a number", info_.source,
           "Its weights need a wider one: " + option(Option::dtype, "fp32"));
}

// The rows from `begin` up to `end`. called: more calls of the denoiser are done.
BatchedPipeline::Drawn BatchedPipeline::draw_batch(const Request& request, const RunPrompts& read, size_t begin, size_t end,
                                                   const std::function<void(std::int64_t)>& called, const CancelToken& cancel) const {
  Drawn out;
  const auto& prompts = read.prompts;
  const bool guided = read.guided;
  const std::int64_t height = request.height / factor(), width = request.width / factor();
  const auto scheduler = scheduler_of(request);
  const Batch batch = make_batch(request, begin, end);

  // Unconditional half first. In lockstep it is patched too: there its K and V depend on the picture.
  std::vector<PromptTaps::Row> rows;
  std::vector<LockstepTaps::Row> lockstep;
  RowNoise noise;
  std::vector<Conditioning> read_by_rows;
  std::vector<torch::Tensor> pictures;
  std::vector<MapTaps::Row> map_rows;
  for (const Part part : {Part::unconditional, Part::own, Part::unwanted}) {
    if ((part == Part::unconditional && !guided) || (part == Part::unwanted && !request.safe)) continue;
    const bool own = part == Part::own;
    const int other = part == Part::unconditional ? read.negative : read.unwanted, first = static_cast<int>(rows.size());
    if (own) map_rows = aligned_maps(request, batch, first, prompts.front().embedding.size(1));
    for (const auto& member : batch.members) {
      const int prompt = own ? member.prompt : other;
      rows.push_back({prompt, own ? member.plan : nullptr});
      lockstep.push_back({member.plan, member.sources});
      for (auto& [_, source] : lockstep.back().sources) source += first;
      read_by_rows.push_back(conditioned(prompts[static_cast<size_t>(prompt)], request, part == Part::unconditional));
      read_by_rows.back().pooled = prompts[static_cast<size_t>(own ? member.pooled : other)].pooled;
      if (!own) continue;
      noise.add(member.seed);
      if (request.pictures.defined()) pictures.push_back(request.pictures.narrow(0, request.pictures.size(0) > 1 ? member.row : 0, 1));
    }
  }
  Conditioning conditioning = joined(read_by_rows);
  PromptTaps prompt_taps(read.embeddings, rows, cancel, read.sources);
  LockstepTaps lockstep_taps(lockstep, cancel);
  Taps* taps = request.method == PatchMethod::lockstep ? static_cast<Taps*>(&lockstep_taps) : &prompt_taps;
  MapTaps map_taps(*taps, map_rows);
  if (!map_rows.empty()) taps = &map_taps;

  const std::vector<std::int64_t> shape{1, channels(), height, width};
  const torch::Tensor noisiest = noise.draw(shape);
  if (!pictures.empty()) {
    conditioning.picture = enlarged(torch::cat(pictures), request, noise).to(dtype_);
    if (guided) conditioning.picture = conditioning.picture.repeat({request.safe ? 3 : 2, 1, 1, 1});
  }
  const auto run = scheduler->begin(request.steps, tokens(request));
  run->set_noise([&] { return noise.draw(shape); });
  const auto calls = static_cast<std::int64_t>(run->timesteps().size());
  DenoiseOptions options;
  options.guidance = guided ? request.guidance : 1;
  options.safe = request.safe;
  options.cancel = cancel;
  std::vector<const Following*> following;
  for (const auto& member : batch.members) following.push_back(&member.follow);
  const Followers followers(following, [&](std::int64_t call) { return step_of(call, calls, request.steps); });
  options.followers = &followers;
  std::vector<Trajectory> record;
  if (request.keep_paths) options.record = &record;
  options.before_call = [&](std::int64_t call) {
    const auto step = static_cast<int>(step_of(call, calls, request.steps));
    prompt_taps.begin_step(step);
    lockstep_taps.begin_step(step);
    map_taps.begin_step(step);
    if (call > 0) called(1);
  };
  options.after_call = [&] {
    ++out.calls;
    out.rows += static_cast<std::int64_t>(rows.size());
  };
  out.latents =
      glyphscope::denoise(
          *run, noisiest, [&](const torch::Tensor& x, double t) { return denoiser(x.to(dtype_), torch::full({x.size(0)}, t), conditioning, taps); }, options)
          .slice(0, 0, batch.asked);
  if (request.keep_paths)
    for (std::int64_t row = 0; row < batch.asked; ++row) out.paths.push_back(std::make_shared<const Trajectory>(std::move(record[static_cast<size_t>(row)])));
  // A decoder's activations are far larger than its latents: only so many pixels at once.
  constexpr std::int64_t kPixelsAtOnce = 1 << 20;
  for (const auto& part : out.latents.split(std::max<std::int64_t>(1, kPixelsAtOnce / (request.width * request.height))))
    out.images.push_back(to_pixels(decode(part, cancel)));
  called(1);
  return out;
}

Trajectory BatchedPipeline::run_inversion(const Inversion& inversion, const Request& request, const Observer& observer, const CancelToken& cancel) {
  if (info_.enlarges) reject("a model that enlarges pictures cannot invert them", info_.source);
  const auto run = make_scheduler(scheduler_config_, request.scheduler)->begin(request.steps, tokens(request));
  if (!run->reversible()) reject("this scheduler's steps cannot be gone back", option(Option::scheduler), "ddim and flow can");
  const auto calls = static_cast<std::int64_t>(run->timesteps().size());
  observer.progress({"inverting", 0, calls});
  std::vector<std::string> notes;
  const Prompt prompt = encode(inversion.caption, request.clip_skip, notes);
  prompts_read();
  const Conditioning conditioning = conditioned(prompt, request, false);
  PromptTaps taps({site_embedding(prompt)}, {{0, nullptr}}, cancel);
  LockstepTaps joint({{}}, cancel);
  const bool lockstep = info_.methods.front() == PatchMethod::lockstep;
  const torch::Tensor pixels = inversion.picture.unsqueeze(0).to(torch::kFloat32) / 127.5 - 1;
  Trajectory out = invert_latent(
      encode_pixels(pixels).mean.to(torch::kFloat32), *run, inversion.refinements,
      [&](const torch::Tensor& x, double t) {
        return denoiser(x.to(dtype()), torch::full({1}, t), conditioning, lockstep ? static_cast<Taps*>(&joint) : &taps)
            .to(torch::kFloat32)
            .slice(1, 0, channels());
      },
      observer.progress, cancel);
  if (!out.latents.front().isfinite().all().item<bool>()) {
    find_bad_numbers();
    throw Failure({ErrorCode::internal, "the inverted latents are not a number", "", "No cause was found in weights, adapters or dtype; please report it"});
  }
  return out;
}

Conditioning BatchedPipeline::condition(const std::string& prompt, std::vector<std::string>& notes) {
  torch::NoGradGuard no_grad;
  const Prompt read = encode(prompt, 0, notes);
  // What a run remembers was made in inference mode; copies can be trained with.
  auto own = [](const torch::Tensor& tensor) { return tensor.defined() ? tensor.clone() : tensor; };
  return {own(read.embedding), own(read.pooled)};
}

Conditioning BatchedPipeline::beside_caption(const PictureSize& size) const {
  Request request;
  request.height = size.height;
  request.width = size.width;
  return beside_prompt(resolve(request), false);
}

torch::Tensor BatchedPipeline::denoise(const torch::Tensor& noisy, const torch::Tensor& timestep, const Conditioning& conditioning, Taps* taps) const {
  return denoiser(noisy.to(dtype_), timestep, conditioning, taps).slice(1, 0, channels());
}

}  // namespace glyphscope
