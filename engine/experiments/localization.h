#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/progress.h"
#include "experiments/cells.h"
#include "experiments/prompt_set.h"
#include "experiments/run_folder.h"
#include "experiments/run_settings.h"
#include "experiments/set_kind.h"
#include "experiments/statistics.h"
#include "experiments/variant.h"
#include "metrics/measurement.h"
#include "pipelines/pipeline.h"

namespace glyphscope {

/// How a localization is run.
struct LocalizationSettings : RunSettings {
  int from_step = 0;                ///< First step that is patched.
  double localized_f1_share = 0.5;  ///< A site is localized if the lower bound of its target F1 is this share of B's own mean ..
  double localized_ssim = 0.8;      ///< .. and its SSIM outside the text is at least this.
  double kept_f1_share = 0.9;       ///< What the smallest set must keep of B's own target F1.
  int random_sets = 4;              ///< Random sets of the smallest set's size, as controls.

  /// What is asked of the run's cells: all of the above but RunSettings.
  nlohmann::ordered_json question() const;
  /// Both, as run.json tells them.
  nlohmann::ordered_json to_json() const;
  /// The settings of the localization that a run's folder holds. Throws a Failure that names the file.
  static LocalizationSettings read(const std::filesystem::path& run);
};

/// Everything measured for one pair and one noise.
struct PairResult {
  int pair = 0, noise = 0;
  Measurement source, target;                               ///< A's and B's own pictures.
  std::vector<MeasuredVariant> patched;                     ///< A site each, in order; then the variants that were tried on this pair.
  const MeasuredVariant* of(const Variant& variant) const;  ///< Null if it was not tried.
  nlohmann::ordered_json to_json() const;
};

/// Scores of one set of sites. What is chosen is chosen by some pairs, and reported on others.
struct SetResult {
  Variant variant;
  SetKind kind = SetKind::site;
  std::map<std::string, Score> choosing;  ///< Over the pairs that choose; empty if it was no candidate, or was left out as it could no longer keep enough.
  std::map<std::string, Score> scores;    ///< Over the pairs that report; empty of candidates that were not chosen.
};

struct LocalizationResult {
  /// Pairs by number: no word of one half is in the other. The same, all of them, where there are too few to be halved.
  std::vector<int> choosing, reporting;
  int word_clusters = 0;                        ///< Of the pairs that report: what is resampled, beside the noises.
  std::map<std::string, Score> source, target;  ///< A's and B's own pictures, over the pairs that report.
  std::vector<SetResult> sites;                 ///< One a site, in forward order.
  std::vector<SetResult> sets;                  ///< Candidates; then the smallest set found, random sets, all sites.
  std::vector<int> localized;
  /// The smallest set found that keeps kept_f1_share of B's F1: of all single sites, all pairs of the ten best, then the best three, four and so on
  /// together. Empty if none does.
  std::vector<int> smallest;
  std::vector<PairResult> pairs;
};

/// Listens to a localization, on the thread that runs it.
struct LocalizationObserver : RunObserver {
  /// After each pair: its result, and its pictures [2 + sites, 3, H, W] (A, B, then one a site), if they were drawn just now.
  std::function<void(const PairResult&, const torch::Tensor& images)> pair_done = [](const PairResult&, const torch::Tensor&) {};
};

/// Every site alone.
std::vector<Variant> single_sites(const SiteTable& table, int from_step);

/// A's, B's and every site's own pictures of a cell; none if one of them was not measured.
std::optional<PairResult> pair_so_far(Cells& cells, const LocalizationSettings& settings, const SiteTable& table, const Cell& cell);

/// Which pairs choose, and which report.
struct Halves {
  std::vector<int> choosing, reporting;
};
Halves halves_of(const std::vector<PromptPair>& pairs);

/// Up to `count` sets as large as `set`, without any site of `chosen`, whose K and V parameters are as nearly as many as there are such sets; of those
/// that are equally near, by chance.
std::vector<std::vector<int>> matched_random_sets(const SiteTable& table, const std::vector<int>& set, const std::vector<int>& chosen, int count,
                                                  std::uint64_t seed);

/// Means with intervals of one variant's scores, brought up to date by each that comes in.
class RunningScores {
 public:
  explicit RunningScores(const RunSettings& settings);
  void add(const Scores& scores, int pair, int noise);
  std::map<std::string, Score> scores() const;

 private:
  std::vector<int> clusters_;  // word cluster of each pair
  std::map<std::string, RunningScore> running_;
};

/// Patches every site alone for every pair and noise; chooses by half of the pairs which sites are localized, and the smallest set found that keeps enough
/// of B's text; and reports them on the other half, with random sets and all sites beside them. Throws a Failure; RunIncomplete as Cells
/// has it.
LocalizationResult run_localization(Cells& cells, const LocalizationSettings& settings, const SiteTable& table, const LocalizationObserver& observer);

/// What a run took: time, and the most of its device's memory at once.
struct RunCost {
  std::optional<double> seconds;
  std::optional<std::uint64_t> peak_memory_bytes;

  /// {"mean": number}; null for what is not known.
  nlohmann::ordered_json seconds_json() const { return {{"mean", seconds ? nlohmann::ordered_json(*seconds) : nlohmann::ordered_json()}}; }
  nlohmann::ordered_json memory_json() const { return {{"mean", peak_memory_bytes ? nlohmann::ordered_json(*peak_memory_bytes) : nlohmann::ordered_json()}}; }
};

/// Writes run.json, sites.csv and heatmap.png into `folder`. `versions` names the program and OCR.
void write_localization(const LocalizationResult& result, const LocalizationSettings& settings, const ModelInfo& model, const std::string& ocr,
                        const RunCost& cost, const std::filesystem::path& folder);

/// run.json as a document.
nlohmann::ordered_json localization_document(const LocalizationResult& result, const LocalizationSettings& settings, const ModelInfo& model,
                                             const std::string& ocr, const RunCost& cost);

/// Sites x scores as a figure.
Figure heatmap_figure(const LocalizationResult& result, const ModelInfo& model);

}  // namespace glyphscope
