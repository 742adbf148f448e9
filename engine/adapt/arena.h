#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "adapt/finetune.h"
#include "experiments/statistics.h"
#include "metrics/clip_scorer.h"
#include "plot/figure.h"

namespace glyphscope {

/// Adapters on the localized sites against adapters elsewhere, all trained alike: does the model write better, and what does it cost?
struct ArenaSettings {
  FinetuneSettings training;               ///< plan: of the localized sites. Samples are drawn at the end only.
  int random_sets = 3;                     ///< Sets of as many other sites.
  int seeds = 3;                           ///< Trainings of each contender.
  std::vector<std::string> prompts;        ///< With text in double quotes: how well it is written. Without: what it costs.
  int variety = 4;                         ///< Pictures of each prompt without text.
  std::shared_ptr<const ClipScorer> clip;  ///< For alignment and features; or null.

  nlohmann::ordered_json to_json() const;
};

/// An adapter that is trained: where, and how large.
struct Contender {
  std::string name;  ///< "localized", "random 1", "localized, paper's projections", "all sites", "every attention"; the same with about as many
                     ///< parameters as the localized: ", as small".
  LoraPlan plan;
  std::int64_t parameters = 0;
};
/// The localized plan; random sets of as many other sites, of the ranks that give as nearly as many parameters (at least 1); then, each of its rank and
/// of such ranks: the localized sites with the projections that the paper trains, if the plan's are those that it was localized by and differ; all
/// sites; every attention layer (with the paper's projections too). What is another's twin is left out.
std::vector<Contender> make_contenders(const torch::nn::Module& denoiser, const SiteTable& table, const LoraPlan& localized, int random_sets,
                                       std::uint64_t seed);

/// What a contender's pictures show: means with intervals over prompts and trainings; of what there is one of a training, over five trainings and more.
/// Features are a CLIP's, if the user has one; else the model's own: its autoencoder's latents, or pixels, averaged to 4 x 4 a channel, so that
/// kernel_distance, precision and recall compare only within one model.
struct ArenaScores {
  Score word_accuracy, ocr_f1;
  Score clip_alignment;                      ///< Cosine of picture and prompt, over all pictures; where a CLIP that reads text is given.
  Score ssim_to_base;                        ///< Pictures without text, against the base model's with equal noises.
  Score kernel_distance, precision, recall;  ///< Against pictures of the base model with other noises.
  Score pair_distance;                       ///< Mean distance of two pictures of one prompt.
  Score held_out_loss;                       ///< One number a training.
};

struct ArenaEntry {
  Contender contender;  ///< The first is the base model, "no adapter".
  int trainings = 0;
  int diverged = 0;  ///< Trainings whose loss exploded: they have no pictures, and no part in the scores.
  std::int64_t optimizer_bytes = 0;
  ArenaScores scores;
  Score f1_gain;  ///< Of the localized adapter over this one: mean difference of paired pictures.
};

struct ArenaResult {
  std::vector<ArenaEntry> entries;
  std::string features;  ///< "latents of the model's autoencoder", "pixels", or whose image features
  nlohmann::ordered_json to_json() const;
  std::string table() const;  ///< A line each, for a terminal.
  std::string csv() const;
  Figure figure() const;  ///< Scores with their intervals.
};

struct ArenaObserver {
  ProgressCallback progress = [](const Progress&) {};
  std::function<void(const std::string&)> note = [](const std::string&) {};
};

/// Each training lies in out/runs, with its adapter and scores.json: those that are done are not done again. One that diverges is counted, and
/// the others go on. Throws a Failure.
ArenaResult run_arena(Pipeline& pipeline, const PictureSet& pictures, const ArenaSettings& settings, const std::filesystem::path& out, bool resume,
                      TextReader& reader, const ArenaObserver& observer, const CancelToken& cancel);

}  // namespace glyphscope
