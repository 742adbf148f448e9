#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>

#include "core/error.h"
#include "core/processes.h"
#include "core/progress.h"
#include "metrics/ocr.h"
#include "pipelines/pipeline.h"
#include "tasks/session.h"

namespace glyphscope::cli {

/// What a verb's MODEL may be.
inline constexpr const char* kModelHelp = "A diffusers folder, a checkpoint (.safetensors or .gguf), or a demo model, as demo:sign-unet";

/// Options that every verb has.
struct Common {
  bool json = false;
  int threads = 0;
  std::string device = "auto", dtype = "auto", config, upscaler;
  std::uint64_t memory = 0;
  std::vector<std::string> adapters;
  std::string guard, guard_sites, guard_log;
  int guard_from_step = 0;
  bool guard_clear_text = false;
  std::uint64_t seed = 42;
  bool seed_given = false;
};

/// What a verb runs with: a session, whose events are printed on the terminal.
class Context {
 public:
  Common common;
  CancelToken cancel;
  std::vector<std::string> arguments;  ///< The program's own.

  /// Begins to load the OCR engine that reads for this verb, at the same time as what follows, where there is room for that. To be called before
  /// all else, if at all: without it, ppocr is loaded when it is wanted.
  void read_by(const std::string& engine) const;
  /// Opens a model with the common options, under its guard if there is one. Throws a Failure.
  event::ModelOpened open(const std::string& model) const { return open(command::OpenModel{model}); }
  /// The same as it says itself, but for what the command line says otherwise.
  event::ModelOpened open(command::OpenModel model) const;
  /// Does a command of the session: progress and notes are printed, and all events given to `listen`. Throws a Failure.
  void run(const Command& command, const std::function<void(const event::Any&)>& listen = {}) const;
  /// The same for a command that makes one event of this type. Throws a Failure.
  template <class What>
  What get(const Command& command) const {
    What out;
    run(command, [&](const event::Any& what) {
      if (const auto* found = std::get_if<What>(&what)) out = *found;
    });
    return out;
  }
  /// For verbs that a window does not have: the open model with the adapters of the command line at work; and what reads text.
  std::shared_ptr<Pipeline> pipeline() const;
  std::shared_ptr<TextReader> reader() const;
  const PictureSet& pictures() const { return session().pictures(); }

  /// Joins the processes that mpirun or srun started; from here on the first alone speaks. A device that is left open becomes this process's own of its
  /// machine's. Throws a Failure.
  void join_processes() const;
  bool speaks() const { return !processes_ || processes_->leads(); }
  /// "glyphscope", and which of several processes it is.
  std::string name() const;
  /// Ends this one of them with an exit code; 0: waits for the others.
  void leave_processes(int code) const;

  /// Of a verb that no guard could hold: throws a Failure with the hint if one is asked for.
  void refuse_guard(const std::string& hint) const;
  /// From here on SIGTERM stops the verb where a part of it is done and kept, and a second one at once.
  void finish_on_sigterm() const;
  /// Draws a bar on standard error while it is a terminal.
  void show(const Progress& progress) const;
  void end_progress() const;
  /// Says which of these texts OCR cannot be trusted to read, before it is used to score.
  void note_unreadable(const TextReader& reader, const std::vector<std::string>& texts) const;
  /// Says which of these texts the model was not taught to write, where that is known.
  void note_learned(const event::ModelOpened& model, const std::vector<std::string>& texts) const;
  /// Says what the guard did, if it did anything.
  void note_guard() const;
  /// A line for a person, on standard error where standard output carries JSON.
  void say(const std::string& line) const;
  /// The same as a note; each once.
  void note(const std::string& text) const;
  /// The JSON document of a verb, on standard output if --json was given.
  void print(const nlohmann::ordered_json& document) const;
  void print(const std::string& document) const { print(nlohmann::ordered_json::parse(document)); }

 private:
  Session& session() const;
  void set_guard(const event::ModelOpened& model) const;
  mutable std::unique_ptr<MpiProcesses> processes_;
  mutable std::string own_device_;  // one of several processes'; empty: as the options say
  mutable std::shared_ptr<Session> session_;
  mutable std::set<std::string> noted_;
};

/// Options of sampling, shared by verbs that make images.
struct SamplingOptions {
  std::int64_t steps = 0;
  double guidance = -1;
  std::string scheduler, size, image;
  std::optional<std::string> negative;
  std::int64_t clip_skip = 0, batch = 16, noise_level = 250, upscale_steps = 0;
  /// image: what --image is for.
  void add(CLI::App& verb, const std::string& image = "The picture that a super-resolution model enlarges");
  /// Throws a Failure for a malformed --size.
  command::Sampling sampling(std::uint64_t seed) const;
};

/// Folders of models that score pictures, shared by verbs that compare pictures.
struct JudgeOptions {
  JudgeFolders folders;
  void add(CLI::App& verb);
};

/// What a verb does; throws a Failure to fail.
using Run = std::function<void(const Context&)>;

// One function a verb: declares its options, and returns what it does.
Run add_inspect(CLI::App& app);
Run add_generate(CLI::App& app);
Run add_patch(CLI::App& app);
Run add_edit(CLI::App& app);
Run add_localize(CLI::App& app);
Run add_merge(CLI::App& app);
Run add_compare(CLI::App& app);
Run add_replay(CLI::App& app);
Run add_export_card(CLI::App& app);
Run add_transfer(CLI::App& app);
Run add_evaluate(CLI::App& app);
Run add_finetune(CLI::App& app);
Run add_convert_adapter(CLI::App& app);
Run add_autopsy(CLI::App& app);
Run add_arena(CLI::App& app);
Run add_guard(CLI::App& app);
Run add_draw_signs(CLI::App& app);
Run add_train_demo(CLI::App& app);
Run add_train_reader(CLI::App& app);
Run add_figure(CLI::App& app);
Run add_look(CLI::App& app);
Run add_describe(CLI::App& app);

/// Runs the command line. Returns the exit code: 0 done, 2 the input was wrong, 3 cancelled, 4 out of memory, 5 internal.
int run(int argc, char** argv);

}  // namespace glyphscope::cli
