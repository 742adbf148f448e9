#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "core/error.h"
#include "core/progress.h"
#include "metrics/ocr.h"
#include "pipelines/pipeline.h"

namespace glyphscope {
class Guard;
}  // namespace glyphscope

namespace glyphscope::cli {

/// What a verb's MODEL may be.
inline constexpr const char* kModelHelp = "A diffusers folder, a checkpoint (.safetensors), or a demo model, as demo:sign-unet";

/// Options that every verb has.
struct Common {
  bool json = false;
  int threads = 0;
  std::string device = "auto", dtype = "auto", config, upscaler;
  std::vector<std::string> adapters;
  std::string guard, guard_sites, guard_log;
  int guard_from_step = 0;
  bool guard_clear_text = false;
  std::uint64_t seed = 42;
  bool seed_given = false;
};

/// What a verb runs with.
struct Context {
  Common common;
  CancelToken cancel;

  /// Opens a model with the common options, under its guard if there is one. Throws a Failure.
  std::shared_ptr<Pipeline> open(const std::string& model) const;
  OpenOptions open_options() const { return {.dtype = common.dtype, .config = common.config, .upscaler = common.upscaler, .cancel = cancel}; }
  /// Of a verb that no guard could hold: throws a Failure with the hint if one is asked for.
  void refuse_guard(const std::string& hint) const;
  /// Draws a bar on standard error while it is a terminal.
  void show(const Progress& progress) const;
  void end_progress() const;
  /// Says which of these texts OCR cannot be trusted to read, before it is used to score.
  void note_unreadable(const TextReader& reader, const std::vector<std::string>& texts) const;
  /// Says which of these texts the model was not taught to write, where that is known.
  void note_learned(const ModelInfo& model, const std::vector<std::string>& texts) const;
  /// Says what the guard did, if it did anything.
  void note_guard() const;
  /// A line for a person, on standard error where standard output carries JSON.
  void say(const std::string& line) const;
  /// The JSON document of a verb, on standard output if --json was given.
  void print(const nlohmann::ordered_json& document) const;

 private:
  void set_guard(Pipeline& pipeline) const;
  mutable std::shared_ptr<const Guard> guard_;  ///< Of the model that was opened, if one is asked for.
};

/// A reader of text that is being loaded: on a thread of its own, where there is room for that. OpenVINO cannot be stopped while it loads, and who cancels
/// does not wait for it: the program ends without it.
class LoadingReader {
 public:
  /// engine: as of make_text_reader().
  explicit LoadingReader(const std::string& engine = "ppocr");
  /// Throws what loading it threw, or that the token was cancelled.
  std::unique_ptr<TextReader> get(const CancelToken& cancel);

 private:
  std::string engine_;
  std::future<std::unique_ptr<TextReader>> reader_;
};

/// Options of sampling, shared by verbs that make images.
struct SamplingOptions {
  std::int64_t steps = 0;
  double guidance = -1;
  std::string scheduler, size, image;
  std::optional<std::string> negative;
  std::int64_t clip_skip = 0, batch = 16, noise_level = 250, upscale_steps = 0;
  /// image: what --image is for.
  void add(CLI::App& verb, const std::string& image = "The picture that a super-resolution model (DeepFloyd IF's stage II) enlarges");
  /// Throws a Failure for a malformed --size, or an --image that cannot be read.
  Request request() const;
};

/// What a verb does; throws a Failure to fail.
using Run = std::function<void(const Context&)>;

// One function a verb: declares its options, and returns what it does.
Run add_inspect(CLI::App& app);
Run add_generate(CLI::App& app);
Run add_patch(CLI::App& app);
Run add_edit(CLI::App& app);
Run add_localize(CLI::App& app);
Run add_evaluate(CLI::App& app);
Run add_finetune(CLI::App& app);
Run add_convert_adapter(CLI::App& app);
Run add_arena(CLI::App& app);
Run add_guard(CLI::App& app);
Run add_draw_signs(CLI::App& app);
Run add_train_demo(CLI::App& app);

/// Runs the command line. Returns the exit code: 0 done, 2 the input was wrong, 3 cancelled, 4 out of memory, 5 internal.
int run(int argc, char** argv);

}  // namespace glyphscope::cli
