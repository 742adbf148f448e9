#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "adapt/lora_file.h"
#include "core/progress.h"
#include "experiments/statistics.h"
#include "metrics/ocr.h"
#include "pipelines/pipeline.h"
#include "plot/figure.h"

namespace glyphscope {

/// What of an adapter can be left out as one: its layers at a site, all others of the denoiser, or those of a text encoder.
struct AdapterPart {
  std::string name;  ///< "site 4", "other layers", "text_encoder"
  int site = -1;     ///< Negative: no site.
  std::size_t layers = 0;
  std::int64_t parameters = 0;
};
/// An adapter's parts: sites in their order, then the rest.
std::vector<AdapterPart> parts_of(const Adapter& adapter, const SiteTable& table);
/// The adapter with these of its parts alone. Its tensors are shared.
Adapter with_parts(const Adapter& adapter, const SiteTable& table, const std::vector<AdapterPart>& kept);

struct AutopsySettings {
  std::vector<std::string> prompts;  ///< Those with text in double quotes show how it is written, those without what else the adapter does.
  int noises = 2;                    ///< Pictures of each prompt; all prompts have the same noises.
  std::uint64_t seed = 42;
  std::int64_t steps = 0;     ///< Denoising steps; 0: the model's own.
  double guidance = -1;       ///< Negative: the model's own.
  double strength = 1;        ///< Of the adapter.
  double kept_share = 0.9;    ///< What the pruned adapter must keep of the whole one's change of F1.
  double discoveries = 0.05;  ///< Share of the parts said to change the text that may be false.
  nlohmann::ordered_json to_json() const;
};

/// What was measured of one set of parts.
struct AutopsyEntry {
  AdapterPart part;  ///< That is left out.
  Score f1_change;   ///< The whole adapter's F1 less this one's, paired: what the part adds to the text.
  Score f1, exact;   ///< Without the part.
  Score ssim;        ///< Of pictures without the part to those of the whole adapter.
  double p_value = 1;
  bool changes_text = false;  ///< With so few false ones as were asked for.
};

struct AutopsyResult {
  Score base_f1, base_exact, whole_f1, whole_exact;
  Score base_ssim;                  ///< Of the model's own pictures to those with the whole adapter.
  std::vector<AutopsyEntry> parts;  ///< In the adapter's order.
  /// Parts of the smallest adapter found that keeps enough: the ones that count most, by the words that choose. All, if none can go.
  std::vector<AdapterPart> kept;
  Score pruned_f1, pruned_exact, pruned_ssim, reported_whole_f1;  ///< By the other words; undefined (n = 0) where all parts are kept.
  std::vector<std::string> choosing, reporting;                   ///< Texts; the same, where there are too few to be halved.
  std::int64_t parameters = 0, kept_parameters = 0;

  nlohmann::ordered_json to_json() const;
  std::string csv() const;
  std::string table() const;
  /// What each part adds to the text.
  Figure figure() const;
};

struct AutopsyObserver {
  ProgressCallback progress = [](const Progress&) {};
  std::function<void(const std::string&)> note = [](const std::string&) {};
};

/// Draws the prompts with the adapter, without it, and with all but each of its parts; then finds the smallest adapter of its parts that keeps enough. Parts
/// are ordered by what leaving them out changes; how many of them are needed is found by halving, so that an adapter whose parts act against each other may
/// have a smaller one. The model must have no adapter of its own yet; afterwards it has none. In `out`: variants/ with the pictures and numbers of each set of
/// parts, by which a run that was stopped goes on. Throws a Failure.
AutopsyResult run_autopsy(Pipeline& pipeline, const Adapter& adapter, const std::string& adapter_sha256, const AutopsySettings& settings,
                          const std::filesystem::path& out, bool resume, TextReader& reader, const AutopsyObserver& observer, const CancelToken& cancel);

}  // namespace glyphscope
