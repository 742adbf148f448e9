#include "app/cli/cli.h"

#include <torch/torch.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "adapt/adapters.h"
#include "core/version.h"
#include "io/files.h"
#include "io/image_file.h"

namespace glyphscope::cli {

namespace {

const CancelToken& signal_token() {
  static const CancelToken token;
  return token;
}

void on_signal(int) { signal_token().cancel(); }

int exit_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::bad_input:
      return 2;
    case ErrorCode::cancelled:
      return 3;
    case ErrorCode::out_of_memory:
      return 4;
    case ErrorCode::internal:
      return 5;
  }
  return 5;
}

}  // namespace

std::shared_ptr<Pipeline> Context::open(const std::string& model) const {
  if (common.device != "auto" && common.device != "cpu")
    reject("the device '" + common.device + "' is not there", "--device", "This build computes on the CPU: use auto or cpu");
  auto pipeline = open_model(model, open_options());
  if (!pipeline) throw Failure(pipeline.error());
  if (common.dtype == "fp16") say("note: fp16 is many times slower than bf16 on a CPU");
  if (common.adapters.empty()) return *pipeline;
  std::vector<std::string> notes;
  auto adapted = attach_adapters(*pipeline, common.adapters, notes);
  for (const auto& note : notes) say("note: " + note);
  return adapted;
}

void Context::show(const Progress& progress) const {
  if (!::isatty(STDERR_FILENO) || progress.total <= 0) return;
  constexpr int kWidth = 30;
  const double share = static_cast<double>(progress.done) / static_cast<double>(progress.total);
  const int filled = static_cast<int>(share * kWidth);
  std::fprintf(stderr, "\r\033[K[%s%s] %3.0f %%  %s", std::string(static_cast<size_t>(filled), '#').c_str(),
               std::string(static_cast<size_t>(kWidth - filled), '.').c_str(), 100 * share, progress.what.c_str());
  std::fflush(stderr);
}

void Context::end_progress() const {
  if (::isatty(STDERR_FILENO)) std::fputs("\r\033[K", stderr);
}

void Context::say(const std::string& line) const { std::fprintf(common.json ? stderr : stdout, "%s\n", line.c_str()); }

void Context::print(const nlohmann::ordered_json& document) const {
  if (common.json) std::printf("%s\n", json_text(document, 2).c_str());
}

void SamplingOptions::add(CLI::App& verb) {
  verb.add_option("--steps", steps, "Denoising steps (default: the model's)")->check(CLI::Range(1, 1000));
  verb.add_option("--guidance", guidance, "Classifier-free guidance; up to 1: none (default: the model's)")->check(CLI::Range(0.0, 100.0));
  verb.add_option("--scheduler", scheduler, "ddim, ddpm, euler, pndm, dpm++ or flow (default: the model's)");
  verb.add_option("--size", size, "WIDTHxHEIGHT in pixels, before --upscale (default: the model's)");
  verb.add_option("--negative", negative, "Negative prompt");
  verb.add_option("--clip-skip", clip_skip, "Last layers of the CLIP text encoders to leave out")->check(CLI::Range(0, 64))->capture_default_str();
  verb.add_option("--image", image, "The picture that a super-resolution model (DeepFloyd IF's stage II) enlarges")->check(CLI::ExistingFile);
  verb.add_option("--noise-level", noise_level, "How far such a model noises the picture first")->check(CLI::Range(0, 999))->capture_default_str();
  verb.add_option("--upscale-steps", upscale_steps, "Denoising steps of the model that --upscale names (default: its own)")->check(CLI::Range(1, 1000));
  verb.add_option("--batch", batch, "Images in one batch")->check(CLI::Range(1, 256))->capture_default_str();
}

Request SamplingOptions::request() const {
  Request request;
  request.steps = steps;
  request.guidance = guidance;
  request.scheduler = scheduler;
  request.negative = negative;
  request.clip_skip = clip_skip;
  request.rows_at_once = batch;
  request.noise_level = noise_level;
  request.upscale_steps = upscale_steps;
  if (!image.empty()) request.pictures = read_image(image).unsqueeze(0);
  if (!size.empty()) {
    char end = 0;
    long long width = 0, height = 0;
    if (std::sscanf(size.c_str(), "%lldx%lld%c", &width, &height, &end) != 2 || width < 1 || height < 1)
      reject("'" + size + "' is no size", "--size", "Write for example 512x768");
    request.width = width;
    request.height = height;
  }
  return request;
}

int run(int argc, char** argv) {
  CLI::App app("Glyphscope finds, shows and uses the attention layers of a diffusion model that write text.\nWithout a verb it opens the window.",
               "glyphscope");
  app.set_version_flag("--version", "glyphscope " + version() + ", LibTorch " + torch_version());
  app.require_subcommand(1);
  app.fallthrough();
  Context context;
  context.cancel = signal_token();
  app.add_flag("--json", context.common.json, "One JSON document on standard output, all else on standard error");
  app.add_option("--threads", context.common.threads, "Threads to compute with (default: all cores)")->check(CLI::Range(1, 1024));
  app.add_option("--device", context.common.device, "auto or cpu")->capture_default_str();
  app.add_option("--dtype", context.common.dtype, "auto, fp32, bf16 or fp16")->capture_default_str();
  app.add_option("--config", context.common.config,
                 "For a checkpoint in a single file: the diffusers folder with its configurations and tokenizers, if not as published")
      ->check(CLI::ExistingDirectory);
  app.add_option("--upscale", context.common.upscaler,
                 "A super-resolution model (DeepFloyd IF's stage II) that enlarges each image, unpatched, by its own prompt and seed")
      ->check(CLI::ExistingDirectory);
  app.add_option("--adapter", context.common.adapters,
                 "A LoRA for the denoiser (.safetensors of diffusers, PEFT or kohya), as FILE or FILE:STRENGTH (repeatable)")
      ->allow_extra_args(false);
  const auto* seed = app.add_option("--seed", context.common.seed, "Seed of the noise")->capture_default_str();

  std::vector<std::pair<CLI::App*, Run>> verbs;
  for (auto add :
       {add_inspect, add_generate, add_patch, add_localize, add_evaluate, add_finetune, add_convert_adapter, add_arena, add_draw_signs, add_train_demo}) {
    Run run = add(app);
    verbs.emplace_back(app.get_subcommands({}).back(), std::move(run));
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  context.common.seed_given = seed->count() > 0;
  if (context.common.threads > 0) torch::set_num_threads(context.common.threads);
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);

  const Expected<Done> done = attempt([&] {
    for (auto& [verb, run] : verbs)
      if (verb->parsed()) run(context);
  });
  context.end_progress();
  if (done) return 0;
  std::fprintf(stderr, "glyphscope: %s\n", done.error().message().c_str());
  return exit_code(done.error().code);
}

}  // namespace glyphscope::cli
