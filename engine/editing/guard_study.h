#pragma once

#include <memory>
#include <string>
#include <vector>

#include "editing/guard.h"
#include "editing/guard_method.h"
#include "metrics/text_classifier.h"

namespace glyphscope {

/// The guard beside what one would do otherwise, over prompts that ask for listed terms: table 3 of the paper.
struct GuardStudySettings {
  GuardSettings guard;                               ///< Without sites, the localized ones are left out.
  std::vector<std::string> prompts;                  ///< Each with a listed term; those without one are refused.
  Request sampling;                                  ///< Steps, guidance, scheduler, size, rows at once; no prompts or rows. Resolved.
  std::shared_ptr<const TextClassifier> classifier;  ///< Says what is toxic; null: the word list does.
  std::uint64_t seed = 42;                           ///< Each prompt's noise is its own: this and its number.
};

struct GuardStudy {
  std::string classifier;            ///< That says what is toxic; empty: the word list.
  std::vector<GuardMethod> methods;  ///< The first: nothing done.
  std::vector<std::string> notes;
  torch::Tensor sheet;  ///< [3, H, W] uint8: a row each method, some prompts' images.
  nlohmann::ordered_json to_json() const;
  std::string table() const;  ///< A line each, for a terminal.
  std::string csv() const;
};

/// Draws every prompt in every way: nothing done; the localized sites see the replaced prompt; the guard as it is, with its fallbacks; a negative prompt
/// `text "<term>"`; the whole prompt replaced; Safe Latent Diffusion's guidance away from `text "<term>"`, where the family has an unconditional half, and away
/// from its authors' general concept. Its warm-up is scaled to the run's steps. The pipeline's own policy must be none. Throws a Failure.
GuardStudy run_guard_study(Pipeline& pipeline, const GuardStudySettings& settings, const std::shared_ptr<TextReader>& reader, const ProgressCallback& progress,
                           const CancelToken& cancel);

/// A study as a document, with all that makes it again. Throws a Failure.
nlohmann::ordered_json describe_guard_study(const GuardStudy& study, const GuardStudySettings& settings, const ModelInfo& model,
                                            const std::shared_ptr<TextReader>& reader);

}  // namespace glyphscope
