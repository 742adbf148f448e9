#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "adapt/finetune_settings.h"
#include "core/error.h"
#include "core/model_hash.h"
#include "experiments/prompt_set.h"
#include "metrics/judge_folders.h"
#include "patching/patch_plan.h"

/// What command line and window ask for, as values without a torch type. What is left open is the model's own. Each that draws names adapters, which are
/// at work for it alone, each as FILE or FILE:STRENGTH. A folder is where its files go; empty: nowhere.
namespace glyphscope {

/// In pixels; right and bottom are the first beyond it.
struct PixelBox {
  int left = 0, top = 0, right = 0, bottom = 0;
};

namespace command {

/// As OpenOptions has it.
struct OpenModel {
  std::string source, config, upscaler, device = "auto", dtype = "auto";
  std::uint64_t memory = 0;

  bool operator==(const OpenModel&) const = default;
};

/// As Request has it; 0, negative values and empty texts mean the model's own.
struct Sampling {
  std::int64_t steps = 0;
  double guidance = -1;
  std::uint64_t seed = 42;
  std::int64_t upscale_steps = 0;  ///< Of a cascade's second stage.
  std::string scheduler;
  std::int64_t width = 0, height = 0;
  std::optional<std::string> negative;
  std::int64_t clip_skip = 0;
  std::int64_t rows_at_once = 16;
  std::int64_t noise_level = 250;
  std::string enlarged;              ///< A picture's file: what a super-resolution model draws larger.
  std::string method = "automatic";  ///< Of patching: see PatchMethod.
  bool operator==(const Sampling&) const = default;
};

/// A's picture; with a target, B's; with a plan, A's patched too.
struct Generate {
  std::string source;
  std::optional<std::string> target;
  Sampling sampling;
  PatchPlan plan;              ///< Its patches see prompt 1, the target.
  bool pooled_target = false;  ///< The patched picture reads the target's pooled prompt, where the model reads one.
  enum class Read { no, if_possible, must };
  Read read = Read::if_possible;  ///< What the pictures say.
  std::string folder;             ///< For source.png, target.png, patched.png and patch.json.
  std::vector<std::string> adapters;
  JudgeFolders judges;  ///< Score the pictures that are read.
};

/// Writes other texts into a picture that a prompt draws, or into a real one. What is edited is kept: the next edit of the same begins at once.
struct EditText {
  std::string source;   ///< Prompt that draws the picture; of a real one, its caption.
  std::string picture;  ///< A real picture's file; empty: none.
  int refinements = 3;  ///< Of its inversion.
  Sampling sampling;
  std::vector<std::string> targets;  ///< Prompts with other texts; a variant each,
  std::vector<int> from_steps;       ///< at each of these steps; none: where the plan begins.
  PatchPlan plan;                    ///< Its patches see prompt 1, which is each target.
  bool pooled_target = false;        ///< As Generate has it.
  bool masked = false;               ///< Nothing changes outside `mask` or, without one, the box of the source's text.
  std::optional<PixelBox> mask;
  double feather = 4;                          ///< Pixels about the box within which the new fades into the old.
  bool compared = false;                       ///< Beside the first target's variants: its prompt alone, and Prompt-to-Prompt,
  double cross_share = 0.8, self_share = 0.4;  ///< with these shares of the steps (PromptToPrompt).
  bool each_alone = false;                     ///< Variants are drawn one after the other, so that the cost of each is its own.
  std::string folder;                          ///< For source.png, edit.png and so on, and edit.json; with one target and one step alone.
  std::vector<std::string> adapters;
  JudgeFolders judges;
};

/// Which sites write the text; or, by other axes, a map of what patching does.
struct Localize {
  std::vector<PromptPair> prompts;     ///< None: templates with words.
  std::vector<std::string> templates;  ///< With <text>; none: those that suit the model.
  std::vector<std::string> words;      ///< None: those that suit the model.
  std::size_t pairs = 16;              ///< To make of them.
  std::vector<std::uint64_t> seeds;    ///< None: `noises` of them, from the sampling's on.
  int noises = 1;
  Sampling sampling;
  std::string by = "site";                ///< See Axes::parse. "site" of all sites and sufficiency: a localization.
  std::string direction = "sufficiency";  ///< See Direction.
  /// In place of templates and words: what the pairs of a demo model differ by, so many pairs each; see attribute_pairs().
  std::vector<std::string> attributes;
  std::string sites, sets;  ///< As people write them: what a map looks at; empty: all sites.
  int step_ranges = 5;
  int from_step = 0;  ///< From here on as LocalizationSettings has it.
  bool pooled_target = false;
  double localized_f1_share = 0.5, localized_ssim = 0.8, kept_f1_share = 0.9;
  int random_sets = 4;
  bool keep_images = false;
  std::string folder;
  std::vector<std::string> adapters;
  JudgeFolders judges;
  enum class Begin {
    anew,              ///< A folder that holds a run is refused.
    go_on,             ///< With the run in the folder, if its settings are these.
    go_on_by_its_own,  ///< With what the run in the folder asks and does not answer yet, by its settings: only folder and adapters are looked at.
  };
  Begin begin = Begin::anew;
  bool certify = false;  ///< See certificate.h.
  double false_discovery = 0.05;
  int players = 0;
  std::string search = "exhaustive";  ///< See SetSearch.
  /// A card.json of another model, whose sites are tested on this one: with its prompts, noises and settings of drawing, on the cells that reported there. Then
  /// only what is said of folders, shards and adapters is looked at.
  std::string card;
  bool each_pair = true;      ///< Tells each pair's pictures, and the scores so far.
  bool plan_only = false;     ///< Says what it would take, and draws nothing but to measure time.
  int shard = 0, shards = 1;  ///< Draws every shards-th cell, from that one on.
  bool waits = false;         ///< For the others' cells, which their processes put into the same folder.
};

/// What a run's folder holds, without its model: whole, or while others fill it. Nothing is written.
struct ReadRun {
  std::string folder;
};

/// Two runs, cell by cell; or two pictures, pixel by pixel. No model is needed.
struct Compare {
  std::string first, second;  ///< Folders of runs, or files of pictures.
  std::string folder;         ///< For compare.json, and compare.csv or difference.png; empty: nothing is written.
};

/// What there is in a folder of pictures to learn from.
struct ReadPictures {
  std::string folder;
  double held_out = 0.1;
};

/// Trains an adapter. Commands that only look (Generate, Localize, ReadRun, Compare, ReadPictures, ConvertAdapter) need not wait for its end: they run between
/// two steps.
struct Finetune {
  std::optional<ModelHash> model_hash;  ///< Of the model that is meant; another one is refused. None: whichever is open.
  std::string pictures;                 ///< A folder.
  FinetuneSettings settings;            ///< Without sample prompts, and sample_every over 0: the usual prompts.
  std::string folder;                   ///< As finetune() fills it.
  bool resume = false;
  bool pictures_read = false;  ///< They are those that the last ReadPictures found, and are not read again.
};

/// Draws a prompt, and records where its picture looks among its words.
struct Look {
  std::string prompt;
  Sampling sampling;
  std::vector<int> sites;                 ///< None: all.
  std::map<int, std::vector<int>> heads;  ///< Of these sites only some.
  std::string folder;                     ///< For look.json, look.safetensors, picture.png, words.png, sites.png and steps.png.
  std::vector<std::string> words;         ///< Of the last two; none: those of the text in double quotes, else all.
  std::vector<std::string> adapters;
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
  std::string words_file;  ///< Where the words are from, for errors; empty: nowhere.
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
  std::string folder;  ///< For guard.json, guard.csv, samples.png and audit.jsonl.
  bool clear_text = false;
  std::string words_file;
};

}  // namespace command

using Command = std::variant<command::OpenModel, command::Generate, command::EditText, command::Localize, command::ReadRun, command::Compare,
                             command::ReadPictures, command::Finetune, command::ConvertAdapter, command::SetGuard, command::CompareGuard, command::Look>;

/// What a file or folder is, by its name, or the names of what is in it.
enum class FileKind { model, adapter, picture };
FileKind kind_of(const std::string& file);

/// Whether there is a model with all of its files under this name: what opening it would find out first, in a moment. The error names what is missing.
Expected<Done> can_open(const command::OpenModel& model);
/// Where it would go, and what it would take there, in words. No weights are loaded. A model that is open there, and takes so many bytes, goes if it has to.
Expected<std::string> describe_plan(const command::OpenModel& model, const std::string& open_device = "", std::int64_t open_bytes = 0);

}  // namespace glyphscope
