#pragma once

#include <string>
#include <vector>

#include "experiments/certificate.h"
#include "experiments/localization.h"
#include "experiments/map.h"
#include "tasks/events.h"

/// What a run has found, as events: of one that is drawn, and of one that is read.
namespace glyphscope {

event::MapReady map_ready(const EffectMap& map, const RunSettings& settings, const std::string& folder);
event::Certified certified(const Certificate& certificate, const CertifySettings& settings, const std::string& folder);
event::ScoresReady scores_ready(const LocalizationResult& result, const LocalizationSettings& settings, const std::string& folder);

/// What the scores are of, so that whatever is exported tells it: run.json without its pairs, as far as the run has got.
std::string run_document(const LocalizationResult& result, const LocalizationSettings& settings, const ModelInfo& info, const std::string& ocr,
                         const RunCost& cost);

/// Mean scores of every site over the cells that came so far, whether they choose or report. Both must outlive it.
class ScoresSoFar {
 public:
  ScoresSoFar(const LocalizationSettings& settings, const SiteTable& table);
  /// pair: with every site alone first.
  void add(const PairResult& pair);
  LocalizationResult result() const;

 private:
  std::vector<Variant> singles_;
  RunningScores source_, target_;
  std::vector<RunningScores> patched_;
};

}  // namespace glyphscope
