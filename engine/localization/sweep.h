#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/progress.h"
#include "localization/prompt_set.h"
#include "localization/statistics.h"
#include "metrics/ocr.h"
#include "pipelines/pipeline.h"

namespace glyphscope {

/// How a localization is run.
struct SweepSettings {
  std::vector<PromptPair> pairs;
  std::vector<std::uint64_t> seeds{42};  ///< Noises; each pair is run with each.
  Request sampling;                      ///< Steps, guidance, scheduler, size, method, rows at once; no prompts or rows.
  int from_step = 0;                     ///< First step that is patched.
  bool pooled_target = false;            ///< Patched rows read B's pooled prompt, where the model reads one.
  double localized_f1_share = 0.5;       ///< A site is localized if the lower bound of its target F1 is this share of B's own mean ..
  double localized_ssim = 0.8;           ///< .. and its SSIM outside the text is at least this.
  double kept_f1_share = 0.9;            ///< What the smallest set must keep of B's own target F1.
  int random_sets = 4;                   ///< Random sets of the smallest set's size, as controls.
  bool keep_images = false;              ///< Writes every pair's pictures too.

  /// All that the result depends on: two runs with equal documents may share their pairs.
  nlohmann::ordered_json to_json() const;
};

/// What one picture scores. Names are those of run.json.
using Scores = std::map<std::string, double>;

/// One picture of one pair: patched at `sites` (or A's own, with none; or B's own).
struct Measurement {
  std::vector<int> sites;
  std::string read;  ///< What OCR read.
  Scores scores;
};

/// Everything measured for one pair and one noise.
struct PairResult {
  int pair = 0, noise = 0;
  Measurement source, target;        ///< A's and B's own pictures.
  std::vector<Measurement> patched;  ///< A site each, in order; then sets of sites, in the order of SweepResult::sets.
  nlohmann::ordered_json to_json() const;
  static PairResult from_json(const nlohmann::json& json);
};

/// Scores of one set of sites over all pairs.
struct SetResult {
  std::vector<int> sites;
  std::string kind;  ///< "site", "ranked", "random" or "all".
  std::map<std::string, Score> scores;
};

struct SweepResult {
  std::map<std::string, Score> source, target;  ///< A's and B's own pictures.
  std::vector<SetResult> sites;                 ///< One a site, in forward order.
  std::vector<SetResult> sets;                  ///< The best sites together, random sets, all sites.
  std::vector<int> localized;
  std::vector<int> smallest;  ///< The smallest set that keeps kept_f1_share of B's F1; empty if none does.
  std::vector<PairResult> pairs;
};

/// Listens to a sweep, on the thread that runs it.
struct SweepObserver {
  std::function<void(const Progress&)> progress = [](const Progress&) {};
  /// After each pair: its result, and its pictures [2 + sites, 3, H, W] (A, B, then one a site).
  std::function<void(const PairResult&, const torch::Tensor& images)> pair_done = [](const PairResult&, const torch::Tensor&) {};
};

/// The scores that a sweep reports, in the order of tables and heatmaps.
const std::vector<std::string>& sweep_score_names();

/// What is drawn for one pair and noise: A, B, then A patched at each of these sets of sites. Sampling must be resolved.
Request pair_request(const SweepSettings& settings, size_t pair, size_t noise, const std::vector<std::vector<int>>& sets);

/// The cluster of a pair in the bootstrap: the first pair that has the same two texts.
int word_cluster(const std::vector<PromptPair>& pairs, int pair);

/// Scores a picture against A's picture and both texts. `boxes` are where A's and the picture's own text was found.
Measurement measure(const torch::Tensor& image, const torch::Tensor& source_image, const std::vector<TextPiece>& source_pieces, const PromptPair& pair,
                    TextReader& reader);

/// Patches every site alone for every pair and noise, then the best sites together until they keep enough of B's text,
/// with random sets of that size beside them. With a folder, each pair's result is kept there as it is done, and pairs
/// that are there already are not run again; a folder with other settings is refused. Throws a Failure.
SweepResult run_sweep(Pipeline& pipeline, TextReader& reader, const SweepSettings& settings, const std::filesystem::path& folder, const SweepObserver& observer,
                      const CancelToken& cancel);

/// Writes run.json, sites.csv and heatmap.png into `folder`. `versions` names the program and OCR.
void write_sweep(const SweepResult& result, const SweepSettings& settings, const ModelInfo& model, const std::string& ocr, double seconds,
                 const std::filesystem::path& folder);

/// run.json as a document.
nlohmann::ordered_json sweep_document(const SweepResult& result, const SweepSettings& settings, const ModelInfo& model, const std::string& ocr, double seconds);

/// Sites x scores as a picture, [3, H, W] uint8.
torch::Tensor draw_heatmap(const SweepResult& result, const ModelInfo& model);

}  // namespace glyphscope
