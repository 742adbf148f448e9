#include "app/cli/cli.h"

#include <ATen/Parallel.h>
#include <torch/types.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <future>
#include <thread>

#include "app/cli/wording.h"
#include "app/signals.h"
#include "core/memory.h"
#include "core/version.h"
#include "demo/learned_text.h"
#include "device/devices_in_sight.h"
#include "editing/audit_log.h"
#include "io/files.h"
#include "io/text_file.h"
#include "registry/families.h"
#include "schedulers/scheduler.h"

namespace glyphscope::cli {

namespace {

const CancelToken& signal_token() {
  static const CancelToken token;
  return token;
}

std::atomic<bool> keeps_parts = false;

void on_signal(int signal) {
  if (signal == SIGTERM && keeps_parts && !signal_token().finishing())
    signal_token().finish();
  else
    signal_token().cancel();
}

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

namespace {

// A reader of text that is being loaded: on a thread of its own, where there is room for that. OpenVINO cannot be stopped while it loads, and who cancels
// does not wait for it: the program ends without it.
class LoadingReader {
 public:
  explicit LoadingReader(const std::string& engine) : engine_(engine) {
    if (address_space_left()) return;
    std::packaged_task<std::unique_ptr<TextReader>()> load([engine] { return make_text_reader(engine); });
    reader_ = load.get_future();
    std::thread(std::move(load)).detach();
  }
  // Throws what loading it threw, or that the token was cancelled.
  std::unique_ptr<TextReader> get(const CancelToken& cancel) {
    if (!reader_.valid()) return make_text_reader(engine_);
    while (reader_.wait_for(std::chrono::milliseconds(10)) != std::future_status::ready) cancel.check();
    return reader_.get();
  }

 private:
  std::string engine_;
  std::future<std::unique_ptr<TextReader>> reader_;
};

constexpr const char* kGuardEngine = "ppocr";

}  // namespace

Session& Context::session() const {
  if (!session_) session_ = std::make_shared<Session>([](const CancelToken& cancel) { return LoadingReader(kGuardEngine).get(cancel); });
  return *session_;
}

void Context::read_by(const std::string& engine) const {
  const auto loading = std::make_shared<LoadingReader>(engine);
  Session::MakeReader guards;  // whatever scores, the guard reads with the same
  if (engine != kGuardEngine) guards = [](const CancelToken& cancel) { return LoadingReader(kGuardEngine).get(cancel); };
  session_ = std::make_shared<Session>([loading](const CancelToken& cancel) { return loading->get(cancel); }, guards);
}

void Context::finish_on_sigterm() const { keeps_parts = true; }

event::ModelOpened Context::open(command::OpenModel model) const {
  if (!common.config.empty()) model.config = common.config;
  if (!common.upscaler.empty()) model.upscaler = common.upscaler;
  const std::string& device = own_device_.empty() ? common.device : own_device_;
  if (device != "auto") model.device = device;
  if (common.dtype != "auto") model.dtype = common.dtype;
  if (common.memory > 0) model.memory = common.memory;
  auto opened = get<event::ModelOpened>(model);
  if (opened.device != "cpu") note("Computing on " + opened.device + (opened.why_device.empty() ? "" : ": " + opened.why_device));
  set_guard(opened);
  return opened;
}

void Context::run(const Command& command, const std::function<void(const event::Any&)>& listen) const {
  const auto tell = [&](const event::Any& what) {
    if (const auto* progressed = std::get_if<event::Progressed>(&what)) return show(progressed->progress);
    if (const auto* noted = std::get_if<event::Noted>(&what)) {
      end_progress();
      note(noted->text);
    }
    if (listen) listen(what);
  };
  session().run(command, {.tell = tell, .cancel = cancel, .processes = processes_.get()});
  end_progress();
}

std::shared_ptr<Pipeline> Context::pipeline() const {
  return session().adapted(common.adapters, [this](const std::string& text) { note(text); });
}

std::shared_ptr<TextReader> Context::reader() const { return session().reader(cancel); }

void Context::join_processes() const {
  processes_ = MpiProcesses::join();
  if (common.device != "auto" && common.device != "cuda") return;
  // Processes of one machine take its GPUs in turn.
  const auto devices = devices_in_sight();
  if (!devices.empty()) own_device_ = devices[static_cast<size_t>(processes_->local_rank()) % devices.size()].name;
}

std::string Context::name() const {
  if (!processes_) return "glyphscope";
  return "glyphscope (process " + std::to_string(processes_->rank() + 1) + " of " + std::to_string(processes_->size()) + ")";
}

void Context::leave_processes(int code) const {
  if (processes_) processes_->leave(code);
}

void Context::refuse_guard(const std::string& hint) const {
  if (!common.guard.empty()) reject("there is no guard for this verb", "--guard", hint);
}

void Context::set_guard(const event::ModelOpened& model) const {
  if (common.guard.empty()) {
    if (!common.guard_sites.empty() || !common.guard_log.empty() || common.guard_from_step > 0 || common.guard_clear_text)
      reject("there is no guard to set up", "--guard-sites, --guard-log, --guard-from-step or --guard-clear-text", "Name a list of words by --guard");
    return;
  }
  const command::SetGuard guard{.on = true,
                                .words = read_text_file(common.guard),
                                .sites = common.guard_sites.empty() ? model.studied : parse_sites(common.guard_sites, model.table),
                                .from_step = common.guard_from_step,
                                .log = common.guard_log,
                                .clear_text = common.guard_clear_text,
                                .words_file = common.guard};
  if (guard.sites.empty()) note("the guard knows no sites of this model and swaps whole prompts; --guard-sites names those that write the text");
  run(guard);
}

void Context::note_guard() const {
  if (!session_) return;
  if (const std::string text = session_->note_since({}); !text.empty()) note(text);
}

void Context::note_unreadable(const TextReader& reader, const std::vector<std::string>& texts) const {
  if (const std::string text = note_on_unreadable(reader, texts); !text.empty()) note(text);
}

void Context::note_learned(const event::ModelOpened& model, const std::vector<std::string>& texts) const {
  if (!model.learned) return;
  if (const std::string text = note_on_learned(*model.learned, texts); !text.empty()) note(text);
}

void Context::note(const std::string& text) const {
  if (noted_.insert(text).second) say("note: " + text);
}

void Context::show(const Progress& progress) const {
  if (!::isatty(STDERR_FILENO) || progress.total <= 0 || !speaks()) return;
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

void Context::say(const std::string& line) const {
  if (speaks()) std::fprintf(common.json ? stderr : stdout, "%s\n", in_words(line).c_str());
}

void Context::print(const nlohmann::ordered_json& document) const {
  if (common.json && speaks()) std::printf("%s\n", json_text(document, 2).c_str());
}

void SamplingOptions::add(CLI::App& verb, const std::string& image_help) {
  verb.add_option("--steps", steps, "Denoising steps (default: the model's)")->check(CLI::Range(1, 1000));
  verb.add_option("--guidance", guidance, "Classifier-free guidance as the model's pipeline counts it; up to 1 is none, of Z-Image 0 (default: the model's)")
      ->check(CLI::Range(0.0, 100.0));
  std::string known;
  for (const auto& name : scheduler_names()) known += (known.empty() ? "" : ", ") + name;
  verb.add_option("--scheduler", scheduler,
                  "How it is sampled (default: as the model's folder says): " + known +
                      "; of noise levels as NAME-karras, NAME-exponential or NAME-beta. 'inspect' says which go with a model");
  verb.add_option("--size", size, "WIDTHxHEIGHT in pixels, before --upscale (default: the model's)");
  // By a function: CLI11 takes an empty text for an optional that is not there.
  verb.add_option_function<std::string>(
      "--negative", [this](const std::string& text) { negative = text; },
      "Negative prompt; an empty one is read too, where none would be zeros (force_zeros_for_empty_prompt)");
  verb.add_option("--clip-skip", clip_skip, "Last layers of the CLIP text encoders to leave out")->check(CLI::Range(0, 64))->capture_default_str();
  verb.add_option("--image", image, image_help)->check(CLI::ExistingFile);
  verb.add_option("--noise-level", noise_level, "How far a super-resolution model noises the picture that it enlarges")
      ->check(CLI::Range(0, 999))
      ->capture_default_str();
  verb.add_option("--upscale-steps", upscale_steps, "Denoising steps of the model that --upscale names (default: its own)")->check(CLI::Range(1, 1000));
  verb.add_option("--batch", batch, "Images in one batch")->check(CLI::Range(1, 256))->capture_default_str();
}

command::Sampling SamplingOptions::sampling(std::uint64_t seed) const {
  command::Sampling out{.steps = steps,
                        .guidance = guidance,
                        .seed = seed,
                        .upscale_steps = upscale_steps,
                        .scheduler = scheduler,
                        .negative = negative,
                        .clip_skip = clip_skip,
                        .rows_at_once = batch,
                        .noise_level = noise_level,
                        .enlarged = image};
  if (size.empty()) return out;
  char end = 0;
  long long width = 0, height = 0;
  if (std::sscanf(size.c_str(), "%lldx%lld%c", &width, &height, &end) != 2 || width < 1 || height < 1)
    reject("'" + size + "' is no size", "--size", "Write for example 512x768");
  out.width = width;
  out.height = height;
  return out;
}

void JudgeOptions::add(CLI::App& verb) {
  verb.add_option("--clip-model", folders.clip,
                  "Folder of a CLIP (transformers' CLIPModel): scores each image's CLIPScore with prompt B (CLIP-T), and its likeness to A's (CLIP-I)");
  verb.add_option("--dino-model", folders.dino,
                  "Folder of a DINO (transformers' Dinov2Model or ViTModel): scores the distance of its features from A's image's");
  verb.add_option("--lpips-model", folders.lpips, "Folder of LPIPS (packaging/lpips_folder.py writes it): scores the perceptual distance from A's image");
}

int run(int argc, char** argv) {
  CLI::App app("Glyphscope finds, shows and uses the attention layers of a diffusion model that write text.\nWithout a verb it opens the window.",
               "glyphscope");
  app.set_version_flag("--version", "glyphscope " + version() + ", LibTorch " + torch_version());
  app.require_subcommand(1);
  app.fallthrough();
  Context context;
  context.cancel = signal_token();
  context.arguments.assign(argv, argv + argc);
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  hold_signals(SIG_UNBLOCK);
  std::signal(SIGXFSZ, SIG_IGN);  // a limit on the size of files is told by the write that meets it
  app.add_flag("--json", context.common.json, "One JSON document on standard output, all else on standard error");
  app.add_option("--threads", context.common.threads, "Threads to compute with (default: all cores)")->check(CLI::Range(1, 1024));
  app.add_option("--device", context.common.device, "auto (the GPU with most free memory that holds the model, else the CPU), cpu, cuda or cuda:N")
      ->capture_default_str();
  app.add_option("--dtype", context.common.dtype, "auto, fp32, bf16 or fp16")->capture_default_str();
  app.add_option("--memory", context.common.memory, "Bytes of a GPU that the model may take, as 8GiB (default: what is free)")
      ->transform(CLI::AsSizeValue(false));
  app.add_option("--config", context.common.config,
                 "For a checkpoint in a single file: the diffusers folder with its configurations and tokenizers, if not as published")
      ->check(CLI::ExistingDirectory);
  app.add_option("--upscale", context.common.upscaler, "A super-resolution model (" + names_of_families([](const auto&, const auto& one) {
                                                         return one.enlarges;
                                                       }) + ") that enlarges each image, unpatched, by its own prompt and seed")
      ->check(CLI::ExistingDirectory);
  app.add_option(
         "--adapter", context.common.adapters,
         "An adapter (LoRA and its relatives, see docs/files.md), as FILE, FILE:STRENGTH, or with strengths of single sites, FILE:5=0.3,7-9=0 (repeatable)")
      ->allow_extra_args(false);
  app.add_option("--guard", context.common.guard,
                 "Keeps words out of every image that is made: a list of terms, one a line, or TERM => REPLACEMENT. The sites that write the text see the "
                 "prompt with its terms replaced; an image in which OCR still reads one is drawn in other ways, and withheld if none helps")
      ->check(CLI::ExistingFile);
  app.add_option("--guard-sites", context.common.guard_sites, "The layers that write the text, for example 5,7-9 (default: those of a demo model's study)");
  app.add_option("--guard-from-step", context.common.guard_from_step, "First step at which they see the replaced prompt")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  app.add_option("--guard-log", context.common.guard_log, "Adds a line of JSON about each request to this file; see the verb guard");
  app.add_flag("--guard-clear-text", context.common.guard_clear_text, "The log names prompts, terms and what was read, not their SHA-256");
  const auto* seed = app.add_option("--seed", context.common.seed, "Seed of the noise")->capture_default_str();

  std::vector<std::pair<CLI::App*, Run>> verbs;
  for (auto add : {add_inspect, add_generate, add_patch,       add_edit,       add_look,         add_localize, add_merge,           add_compare,
                   add_figure,  add_replay,   add_export_card, add_transfer,   add_evaluate,     add_finetune, add_convert_adapter, add_autopsy,
                   add_arena,   add_guard,    add_draw_signs,  add_train_demo, add_train_reader, add_describe}) {
    Run run = add(app);
    CLI::App* verb = app.get_subcommands({}).back();
    verb->footer("Options that verbs share, --seed, --adapter and --guard among them: glyphscope --help");
    verbs.emplace_back(verb, std::move(run));
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  context.common.seed_given = seed->count() > 0;
  if (context.common.threads > 0) torch::set_num_threads(context.common.threads);
  const Expected<Done> done = attempt([&] {
    if (context.common.guard.empty() && !context.common.guard_log.empty())
      reject("there is no guard to write a log", "--guard-log", "Name a list of words by --guard");
    for (auto& [verb, run] : verbs)
      if (verb->parsed()) run(context);
    context.end_progress();
    context.note_guard();
    if (const auto& log = context.common.guard_log; !context.common.guard.empty() && std::filesystem::exists(log))
      context.say(log + ": the last hash is " + AuditLog(log).last() + " (keep it: guard --verify-log FILE --expect-last HASH finds a cut end)");
  });
  context.end_progress();
  if (!done) std::fprintf(stderr, "%s: %s\n", context.name().c_str(), in_words(done.error().message()).c_str());
  const int code = done ? 0 : exit_code(done.error().code);
  context.leave_processes(code);
  return code;
}

}  // namespace glyphscope::cli
