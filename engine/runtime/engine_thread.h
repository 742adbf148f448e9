#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "adapt/finetune_settings.h"
#include "adapt/training_row.h"
#include "core/error.h"
#include "core/progress.h"
#include "demo/learned_text.h"
#include "editing/guard_method.h"
#include "localization/statistics.h"
#include "patching/site.h"

/// The one thread that owns every tensor. Commands go in and snapshots come out, both as values without a torch type, so
/// that a window can include this.
namespace glyphscope {

class TextReader;

using JobId = std::uint64_t;

/// A picture that nobody changes any more.
struct Picture {
  int width = 0, height = 0;
  std::shared_ptr<const std::vector<std::uint8_t>> rgb;  ///< height x width x 3
  std::optional<std::string> read;                       ///< What OCR read in it; none where nobody looked.
  std::map<std::string, double> scores;                  ///< Against A's picture and both texts; see sweep.h. May be empty.
  std::string metadata;                                  ///< JSON: what makes it again.
};

/// In pixels; right and bottom are the first beyond it.
struct PixelBox {
  int left = 0, top = 0, right = 0, bottom = 0;
};

namespace command {

/// As OpenOptions has it.
struct OpenModel {
  std::string source, config, upscaler, dtype = "auto";
};

/// Sampling as the window sets it; 0 and negative values mean the model's own.
struct Sampling {
  std::int64_t steps = 0;
  double guidance = -1;
  std::uint64_t seed = 42;
  std::int64_t upscale_steps = 0;  ///< Of a cascade's second stage.
};

/// A's picture and B's; with sites, the patched one too.
struct Generate {
  std::string source, target;
  Sampling sampling;
  std::vector<int> sites;
  int from_step = 0;
  std::vector<std::string> adapters;  ///< At work for this job alone; each as FILE or FILE:STRENGTH.
};

/// Writes other texts into a picture that a prompt draws, or into a real one. What is edited is kept: the next edit of the same begins at once.
struct EditText {
  std::string source;   ///< Prompt that draws the picture; of a real one, its caption.
  std::string picture;  ///< A real picture's file; empty: none.
  int refinements = 3;  ///< Of its inversion.
  Sampling sampling;
  std::vector<std::string> targets;  ///< Prompts with other texts; a variant each,
  std::vector<int> from_steps{0};    ///< at each of these steps.
  std::vector<int> sites;
  std::map<int, std::vector<int>> heads;  ///< By site; all where there is none.
  double strength = 1;                    ///< SitePatch::strength.
  bool masked = false;                    ///< Nothing changes outside `mask` or, without one, the box of the source's text.
  std::optional<PixelBox> mask;
  bool compared = false;  ///< Beside the first target's variants: its prompt alone, and Prompt-to-Prompt.
  std::vector<std::string> adapters;
};

struct Localize {
  std::vector<std::string> templates;  ///< With <text>.
  std::vector<std::string> words;      ///< Empty: those for the demo's signs.
  std::size_t pairs = 16;
  int noises = 1;  ///< Seeds from the sampling's on.
  Sampling sampling;
  int from_step = 0;
  std::string folder;  ///< Where the run is kept from its first pair on; empty: nowhere.
  std::vector<std::string> adapters;
  bool resume = false;  ///< Go on with the run that is in the folder, by its own settings.
};

/// What there is in a folder of pictures to learn from.
struct ReadPictures {
  std::string folder;
  double held_out = 0.1;
};

/// Trains an adapter. Commands that only look (Generate, Localize, ReadPictures, ConvertAdapter) need not wait for its end: they run between two steps.
struct Finetune {
  std::string model_hash;     ///< Of the model that is meant; another one is refused. Empty: whichever is open.
  std::string pictures;       ///< A folder.
  FinetuneSettings settings;  ///< Without sample prompts, and sample_every over 0: the usual prompts.
  std::string folder;         ///< As finetune() fills it.
  bool resume = false;
};

/// Writes an adapter anew, "diffusers" or "kohya".
struct ConvertAdapter {
  std::string adapter, format, file;
};

/// From its end on, pictures of whatever model is open are made as the guard says (see GuardSettings), whichever command makes them. A model that is opened
/// while it is on has other sites: until the next SetGuard whole prompts are swapped.
struct SetGuard {
  bool on = false;
  std::string words;       ///< TermList::parse's text.
  std::vector<int> sites;  ///< Those that write the text; none: whole prompts are swapped.
  int from_step = 0;
  std::string log;  ///< A file; empty: none.
  bool clear_text = false;
};

/// Draws prompts that ask for listed terms with the guard, and with what one would do otherwise; refused while a guard is on.
struct CompareGuard {
  std::string words;                 ///< As SetGuard has them, and so on.
  std::vector<std::string> prompts;  ///< Empty: `count` that suit the model and the words.
  std::size_t count = 16;
  Sampling sampling;
  std::vector<int> sites;
  int from_step = 0;
  std::string classifier;           ///< TextClassifier's folder; empty: the word list says what is toxic.
  std::vector<std::string> labels;  ///< And its toxic labels.
  std::vector<std::string> adapters;
};

}  // namespace command

using Command = std::variant<command::OpenModel, command::Generate, command::EditText, command::Localize, command::ReadPictures, command::Finetune,
                             command::ConvertAdapter, command::SetGuard, command::CompareGuard>;

namespace event {

struct Started {
  std::string what;
};
struct Progressed {
  Progress progress;
};
/// Before a model is loaded: what it will take, in bytes.
struct ModelMeasured {
  std::string source;
  std::vector<std::pair<std::string, std::int64_t>> parameters;
  std::int64_t bytes = 0, free = 0;
  bool halves = false;  ///< In bf16 it would take half.
};
struct ModelOpened {
  std::string source, family, hash, dtype, scheduler;
  SiteTable table;
  std::vector<std::pair<std::string, std::int64_t>> parameters;
  std::int64_t default_steps = 0;
  double default_guidance = 0;
  int width = 0, height = 0;
  std::int64_t bytes = 0;                        ///< Of its weights.
  std::vector<AttentionProjection> projections;  ///< What an adapter may change.
  std::string source_prompt, target_prompt;      ///< To begin with.
  std::optional<LearnedText> learned;            ///< learned_text()
  std::vector<int> studied;                      ///< studied_sites()
  /// Of a cascade: its second stage.
  struct Upscaler {
    std::string source;
    SiteTable table;
    int width = 0, height = 0;
    std::int64_t default_steps = 0;
  };
  std::optional<Upscaler> upscaler;
};
struct PicturesReady {
  Picture source, target;
  std::vector<Picture> patched;  ///< None or one.
  std::vector<int> sites;
  std::vector<std::string> notes;
  double seconds = 0;
};
/// What is edited, before anything is.
struct EditSourceReady {
  Picture picture;
  Picture reconstruction;            ///< Of a real picture: what its noise gives back without guidance; scores "ssim" and "psnr" to the autoencoder's own
                                     ///< round trip. Else empty.
  Picture drift;                     ///< The same with the guidance that edits are drawn with. Else empty.
  std::optional<PixelBox> text_box;  ///< Of its text, with a margin; none if none was found.
};
/// After an edit.
struct EditReady {
  EditSourceReady source;
  struct Variant {
    std::string way, target;  ///< "sites", "target prompt" or "prompt-to-prompt".
    int from_step = 0;
    Picture picture;
    Picture pasted;      ///< A masked edit of a real picture, in the picture as it was given: see paste_back(). Else empty.
    double seconds = 0;  ///< Of drawing the batch that it was in, without the source.
  };
  std::vector<Variant> variants;
  std::int64_t steps = 0, denoiser_rows = 0;  ///< Rows: of the variants, without the source.
  std::vector<std::string> notes;
  double seconds = 0;
};
/// After each pair of a localization.
struct PairReady {
  int pair = 0, pairs = 0;
  std::string source_text, target_text;
  Picture source, target;
  std::vector<Picture> patched;  ///< One a site.
};
/// Mean scores over the pairs so far; the last one is the whole run's.
struct ScoresReady {
  std::map<std::string, std::vector<Score>> sites;  ///< By score, one a site.
  std::map<std::string, Score> source, target;
  std::vector<int> localized, smallest;  ///< Filled at the end.
  /// The smallest set found, random sets, all sites; at the end.
  struct Set {
    std::vector<int> sites;
    std::string kind;
    std::map<std::string, Score> scores;
  };
  std::vector<Set> sets;
  int pairs = 0;        ///< That the final scores are of.
  bool halved = false;  ///< These pairs had no part in choosing.
  bool final = false;
  std::string folder;
  std::string document;  ///< run.json's text without its pairs, as far as the run has got.
};
struct PicturesListed {
  struct Item {
    std::string file, caption;
    std::int64_t width = 0, height = 0;
    bool held_out = false;
  };
  std::string folder;
  std::vector<Item> pictures;
  std::vector<std::string> faults;  ///< What is left out, and why.
};
struct Trained {
  FinetuneProgress progress;
};
/// Something that the user should know.
struct Noted {
  std::string text;
};
/// At the end of a training.
struct AdapterMade {
  std::string file;
  std::int64_t parameters = 0, all_sites = 0, optimizer_bytes = 0, all_sites_optimizer_bytes = 0;  ///< See FinetuneResult.
};
/// What holds from here on.
struct GuardSet {
  bool on = false;
  std::size_t terms = 0;
  std::vector<int> sites;
};
struct GuardCompared {
  std::vector<GuardMethod> methods;  ///< The first: nothing done.
  std::size_t prompts = 0;
  Picture sheet;  ///< A row each method, some prompts' pictures.
  std::vector<std::string> notes;
  std::string classifier;  ///< That says what is toxic; empty: the word list.
  std::string json, csv;   ///< The study as documents.
};
struct Finished {
  double seconds = 0;
};
struct Cancelled {};
struct Failed {
  Error error;
};

}  // namespace event

struct Event {
  JobId job = 0;
  std::variant<event::Started, event::Progressed, event::ModelMeasured, event::ModelOpened, event::PicturesReady, event::EditSourceReady, event::EditReady,
               event::PairReady, event::ScoresReady, event::PicturesListed, event::Trained, event::Noted, event::AdapterMade, event::GuardSet,
               event::GuardCompared, event::Finished, event::Cancelled, event::Failed>
      what;
};

/// Whether there is a model with all of its files under this name: what opening it would find out first, in a moment. The error names what is missing.
Expected<Done> can_open(const command::OpenModel& model);

/// Runs commands one after the other; but see Finetune. The listener is called on the engine's own thread, or, of a job that is cancelled while it waits,
/// on the thread that cancels it; it must not call back into the object. Destroying it cancels what runs, drops what waits, and joins.
class EngineThread {
 public:
  explicit EngineThread(std::function<void(const Event&)> listener);
  /// With another way to read pictures than the usual one; called once, when the first is to be read.
  EngineThread(std::function<void(const Event&)> listener, std::function<std::unique_ptr<TextReader>()> make_reader);
  ~EngineThread();
  EngineThread(const EngineThread&) = delete;
  EngineThread& operator=(const EngineThread&) = delete;

  /// Returns at once; events carry the id. Each job ends in exactly one of Finished, Cancelled and Failed.
  JobId post(Command command);
  /// Cancels the job whether it waits or runs. One that waits ends at once; one that runs, within one attention layer, or on a training's way back through
  /// the layers, at the end of that.
  void cancel(JobId job);
  void cancel_all();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace glyphscope
