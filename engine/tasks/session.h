#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "adapt/picture_set.h"
#include "core/error.h"
#include "core/processes.h"
#include "core/progress.h"
#include "editing/guard.h"
#include "editing/text_edit.h"
#include "metrics/judges.h"
#include "metrics/ocr.h"
#include "pipelines/pipeline.h"
#include "tasks/commands.h"
#include "tasks/events.h"

namespace glyphscope {

/// How a command is run.
struct Job {
  std::function<void(event::Any)> tell = [](const event::Any&) {};  ///< Called on the thread that runs it.
  CancelToken cancel;
  /// Asked by a training between two steps, and by a run between two cells; if it says yes, `interlude` is called, with the model as it was before.
  std::function<bool()> interrupted = [] { return false; };
  std::function<void()> interlude = [] {};
  Processes* processes = nullptr;  ///< That train together, of which this is one; must outlive the job.

  void note(const std::string& text) const;
  /// Tells how far something is.
  ProgressCallback progress() const;
};

/// What commands work with: the model that is open, the guard that is on, what reads text, and what was edited last. One thread at a time.
class Session {
 public:
  using MakeReader = std::function<std::unique_ptr<TextReader>(const CancelToken&)>;
  /// How readers of text are made, when they are wanted first: the one that scores, and another for the guard; none: the guard reads with the first.
  explicit Session(MakeReader make_reader, MakeReader make_guard_reader = {});
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Does it, from Started to what it found. Throws a Failure; what was there before is still there then.
  void run(const Command& command, const Job& job);

  /// Throws a Failure if no model is open.
  Pipeline& model() const;
  /// The open model with adapters at work, as long as what is returned lives. Throws a Failure.
  std::shared_ptr<Pipeline> adapted(const std::vector<std::string>& adapters, const std::function<void(const std::string&)>& note) const;
  const std::shared_ptr<TextReader>& reader(const CancelToken& cancel);
  /// Those of these folders, on the open model's device; kept until others are asked for. Throws a Failure.
  Judges& judges(const JudgeFolders& folders) { return *shared_judges(folders); }
  /// The same for who lets others work meanwhile, which may ask for other folders.
  std::shared_ptr<Judges> shared_judges(const JudgeFolders& folders);
  /// What the last ReadPictures found. Throws a Failure if there was none.
  const PictureSet& pictures() const;
  void keep_pictures(PictureSet pictures) { pictures_ = std::move(pictures); }
  bool guarded() const { return guarded_.has_value(); }
  /// What the guard has done so far; nothing without one.
  Guard::Tally tally() const { return policy_ ? policy_->tally() : Guard::Tally{}; }
  std::string note_since(const Guard::Tally& before) const { return policy_ ? policy_->note_since(before) : std::string(); }
  /// The source of an edit that was drawn before, by what it is; else what `draw` gives, which is kept.
  const EditSource& edit_source(const nlohmann::json& key, const std::function<EditSource()>& draw);

 private:
  void open(const command::OpenModel& command, const Job& job);
  // The model that had made room for one that could not be had. Throws a Failure.
  void open_again(const Job& job);
  void set_guard(const command::SetGuard& command, const Job& job);
  void guard(Pipeline& model, const std::optional<command::SetGuard>& wanted, const CancelToken& cancel);

  MakeReader make_reader_, make_guard_reader_;
  std::shared_ptr<Pipeline> pipeline_;
  struct {
    command::OpenModel by;
    std::uint64_t bytes = 0;  // of a device
  } opened_;                  // the model that is open, or has made room
  bool made_room_ = false;
  std::shared_ptr<TextReader> reader_, guard_reader_;
  JudgeFolders judge_folders_;
  std::string judge_device_;
  std::shared_ptr<Judges> judges_;
  std::optional<PictureSet> pictures_;
  std::optional<command::SetGuard> guarded_;                  // the guard that is on,
  std::shared_ptr<Guard> policy_;                             // and what of it is set to the model
  std::deque<std::pair<nlohmann::json, EditSource>> edited_;  // what was edited last, by what it is
};

// What commands do beyond the session's own state; each throws a Failure.
void generate(Session& session, const command::Generate& command, const Job& job);
void edit_text(Session& session, const command::EditText& command, const Job& job);
void localize(Session& session, const command::Localize& command, const Job& job);
void read_run(const command::ReadRun& command, const Job& job);
void compare(const command::Compare& command, const Job& job);
void read_pictures(Session& session, const command::ReadPictures& command, const Job& job);
void finetune(Session& session, const command::Finetune& command, const Job& job);
void convert_adapter(Session& session, const command::ConvertAdapter& command, const Job& job);
void look(Session& session, const command::Look& command, const Job& job);
void compare_guard(Session& session, const command::CompareGuard& command, const Job& job);

/// The request that a sampling asks for. Throws a Failure for a picture that cannot be read.
Request to_request(const command::Sampling& sampling);
/// The guard's settings. Throws a Failure for a list without terms.
GuardSettings to_guard_settings(const std::string& words, const std::string& file, const std::vector<int>& sites, int from_step);

/// image: [3, H, W] uint8. A picture in which nobody looked for text; or what was measured in it.
Picture to_picture(const torch::Tensor& image, std::string metadata);
Picture to_picture(const torch::Tensor& image, const Measurement& measurement, std::string metadata);
/// A picture's file, with its metadata.
void write_picture(const std::filesystem::path& file, const Picture& picture);

/// What a guard did to some pictures, as notes.
void note_outcomes(const std::vector<std::string>& outcomes, const std::vector<std::string>& names, std::vector<std::string>& notes);

}  // namespace glyphscope
