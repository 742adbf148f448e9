#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "adapt/training_row.h"
#include "core/error.h"
#include "core/model_hash.h"
#include "core/progress.h"
#include "demo/learned_text.h"
#include "editing/edit_way.h"
#include "editing/guard_method.h"
#include "experiments/set_kind.h"
#include "experiments/statistics.h"
#include "patching/site.h"
#include "tasks/commands.h"

/// What becomes known while a command is at work, as values without a torch type.
namespace glyphscope {

/// A picture that nobody changes any more.
struct Picture {
  int width = 0, height = 0;
  std::shared_ptr<const std::vector<std::uint8_t>> rgb;  ///< height x width x 3
  std::optional<std::string> read;                       ///< What OCR read in it; none where nobody looked.
  std::map<std::string, double> scores;                  ///< Against A's picture and both texts; see scores.h. May be empty.
  std::string metadata;                                  ///< JSON: what makes it again.
};

namespace event {

struct Started {
  std::string what;
};
struct Progressed {
  Progress progress;
};
/// Before a model is loaded: what it will take, in bytes.
struct ModelMeasured {
  std::string source, device;
  std::vector<std::pair<std::string, std::int64_t>> parameters;
  std::int64_t bytes = 0, free = 0;  ///< Of that device's memory.
  bool halves = false;               ///< In bf16 it would take half.
};
struct ModelOpened {
  std::string source, family, dtype, device, why_device, scheduler;
  ModelHash hash;
  SiteTable table;
  std::vector<std::pair<std::string, std::int64_t>> parameters;
  std::int64_t default_steps = 0;
  double default_guidance = 0;
  double no_guidance = 1;  ///< ModelInfo::no_guidance
  int width = 0, height = 0;
  std::int64_t bytes = 0;                        ///< Of its weights.
  std::vector<AttentionProjection> projections;  ///< What an adapter may change.
  std::vector<std::string> text_encoders;        ///< Components that may learn too.
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
  command::OpenModel opened_by;
};
struct PicturesReady {
  Picture source;
  Picture target;                ///< Empty without a target.
  std::vector<Picture> patched;  ///< None or one.
  std::vector<int> sites;
  std::vector<std::string> notes;
  double seconds = 0;
  std::string document;  ///< patch.json, where there is a plan.
};
/// What is edited, before anything is.
struct EditSourceReady {
  Picture picture;
  Picture reconstruction;            ///< Of a real picture: what its noise gives back without guidance; scores "ssim" and "psnr" to the autoencoder's own
                                     ///< round trip. Else empty, and where the guard withholds it.
  Picture drift;                     ///< The same with the guidance that edits are drawn with. Else empty.
  std::optional<PixelBox> text_box;  ///< Of its text, with a margin; none if none was found.
};
/// After an edit.
struct EditReady {
  EditSourceReady source;
  struct Variant {
    EditWay way = EditWay::sites;
    std::string target;
    int from_step = 0;
    Picture picture;
    Picture pasted;                  ///< A masked edit of a real picture, in the picture as it was given: see paste_back(). Else empty.
    std::int64_t denoiser_rows = 0;  ///< Of drawing the batch that it was in, without the source;
    double seconds = 0;              ///< and what that took.
  };
  std::vector<Variant> variants;
  std::int64_t steps = 0, denoiser_rows = 0;  ///< Rows: of the variants, without the source.
  std::vector<std::string> notes;
  double seconds = 0;
  std::string document;  ///< edit.json
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
    SetKind kind = SetKind::site;
    std::map<std::string, Score> scores;
  };
  std::vector<Set> sets;
  int pairs = 0;           ///< That the final scores are of,
  int choosing_pairs = 0;  ///< and that chose.
  bool halved = false;     ///< The first had no part in choosing.
  int word_clusters = 0, noises = 0;
  double kept_f1_share = 0;
  bool final = false;
  std::string folder;
  std::string document;  ///< run.json's text without its pairs, as far as the run has got.
};
/// What a grid of variants scores.
struct MapReady {
  std::string name, by, direction;
  std::string row_axis, column_axis;                 ///< The second is empty where there is one axis.
  std::vector<std::string> rows, columns;            ///< Labels; one column without one, if there is one axis.
  std::vector<std::map<std::string, Score>> scores;  ///< Row by row; empty where there is no such variant.
  std::map<std::string, Score> source, target;
  std::map<std::string, std::map<std::string, Score>> attribute_source, attribute_target;  ///< As EffectMap has them.
  int pairs = 0, noises = 0;
  std::string folder, document;
};
/// A set of sites, chosen on some words and noises and reported on others.
struct Certified {
  std::vector<int> chosen, discovered;
  bool sufficient = false, necessary = false, beats_controls = false;
  struct Set {
    std::string role;
    std::vector<int> sites;
    std::map<std::string, Score> scores;
  };
  std::vector<Set> sets;
  std::map<std::string, Score> source, target;
  struct Site {
    int site = 0;
    Score effect;
    double p = 1;
    std::optional<Score> shapley;  ///< Of the players.
  };
  std::vector<Site> sites;
  int choosing_words = 0, choosing_noises = 0, reporting_words = 0, reporting_noises = 0;
  bool words_apart = false, noises_apart = false;
  double false_discovery = 0;
  struct Search {
    std::int64_t pictures = 0, exhaustive_pictures = 0;  ///< That it asked for, and that trying every site would have.
    double gradients_as_pictures = 0;                    ///< What gradients took, as so many pictures.
    double rank_correlation = 0;
  };
  std::optional<Search> search;  ///< If not every site was tried.
  /// What the card says that the sites were taken from.
  struct From {
    std::string model;
    bool sufficient = false, necessary = false, beats_controls = false;
    std::vector<Set> sets;  ///< With the target F1 alone.
    Score source, target;   ///< Target F1 of A's and B's own pictures.
  };
  std::optional<From> from;
  std::string folder, document;
};
/// Facts of a run's folder. What it has found follows: PairReady for each cell, ScoresReady, MapReady, Certified, as far as they are answered.
struct RunRead {
  std::string folder;
  std::string model, model_hash, family, dtype, device, ocr;
  SiteTable table;
  std::size_t adapters = 0;
  bool guarded = false;
  int pairs = 0, noises = 0, width = 0, height = 0;
  std::int64_t steps = 0;
  double guidance = 0;
  struct Question {
    std::string name, title;
    std::int64_t cells = 0, done = 0;  ///< Of the cells it is asked of, those that are answered.
  };
  std::vector<Question> questions;
};
/// What two runs have in common, and by what they differ: see RunComparison.
struct RunsCompared {
  std::string first, second;             ///< Their folders.
  std::vector<std::string> differences;  ///< What was asked otherwise, or of another model.
  int pairs = 0, noises = 0;
  struct Cell {
    int pair = 0, noise = 0;                    ///< By the first run's numbers.
    std::string first_picture, second_picture;  ///< Files, relative to each run; empty: not kept.
    std::string first_read, second_read;
  };
  struct Variant {
    std::string label;
    int base = 0;  ///< Whose picture it is: 0 is A's, 1 is B's.
    std::vector<int> sites;
    std::map<std::string, Score> first, second, difference;  ///< Second less first, cell by cell.
    std::set<std::string> differs;                           ///< Scores whose difference is not by chance.
    std::map<std::string, Score> pictures;                   ///< Between both runs' pictures.
    std::vector<Cell> cells;
  };
  std::vector<Variant> variants;
  std::string document, csv;
};
/// Where a picture looks among its prompt's words: shares of the attention that its points pay to each.
struct AttentionReady {
  struct Site {
    int site = 0, height = 0, width = 0;
    std::shared_ptr<const std::vector<float>> values;  ///< [ranges, words, height, width]
    std::vector<int> calls = {};                       ///< By range: so many calls of the denoiser it is the mean of; none: as many everywhere.
  };
  Picture picture;
  std::vector<std::string> words;
  int steps = 0, ranges = 0;  ///< Steps are put together in so many ranges.
  std::vector<Site> sites;
  std::vector<std::string> notes;
  std::string document;  ///< look.json
};
/// Two pictures of one size.
struct PicturesCompared {
  std::string first, second;
  double mse = 0, psnr = 0, ssim = 0;  ///< PSNR is infinite for equal ones.
  int largest = 0;                     ///< Difference of a value, of 255.
  double share = 0;                    ///< Of the pixels, those that differ at all.
  std::string document;
};
/// What a run would take.
struct RunPlanned {
  struct Question {
    std::string title;
    std::int64_t cells = 0, pictures = 0, denoiser_rows = 0;
    bool at_most = false;
  };
  std::vector<Question> questions;
  std::int64_t pictures = 0, denoiser_rows = 0;
  std::uint64_t bytes = 0;
  double seconds = 0;
  int words = 0, noises = 0;
  double detectable = 0;
  std::string document;
};
/// A shard has drawn its cells; those of others are missing.
struct ShardDone {
  int shard = 0, shards = 1;
  std::string question;
  std::size_t missing = 0;
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
  std::vector<std::string> notes;   ///< How some were taken.
};
struct Trained {
  FinetuneProgress progress;
};
/// Sample pictures of a training: means over the prompts that have such a number.
struct SamplesDrawn {
  std::int64_t step = 0;
  std::optional<double> exact, f1, ssim;
};
/// Something that the user should know.
struct Noted {
  std::string text;
};
/// At the end of a training.
struct AdapterMade {
  std::string file;
  std::int64_t parameters = 0, all_sites = 0, optimizer_bytes = 0, all_sites_optimizer_bytes = 0;  ///< See FinetuneResult.
  std::string document;                                                                            ///< finetune.json
};
struct AdapterConverted {
  std::string file, sha256;
  std::size_t layers = 0;
  std::vector<int> sites;
  std::vector<std::int64_t> ranks;
  std::int64_t parameters = 0;
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
  std::string classifier;        ///< That says what is toxic; empty: the word list.
  std::string json, csv, table;  ///< The study as documents, and as text for a terminal.
};
struct Finished {
  double seconds = 0;
};
struct Cancelled {};
struct Failed {
  Error error;
};

/// One of them. Each command ends in exactly one of the last three.
using Any = std::variant<Started, Progressed, ModelMeasured, ModelOpened, PicturesReady, EditSourceReady, EditReady, PairReady, ScoresReady, MapReady,
                         Certified, RunRead, RunsCompared, PicturesCompared, RunPlanned, ShardDone, PicturesListed, Trained, SamplesDrawn, Noted, AdapterMade,
                         AdapterConverted, GuardSet, GuardCompared, AttentionReady, Finished, Cancelled, Failed>;

}  // namespace event
}  // namespace glyphscope
