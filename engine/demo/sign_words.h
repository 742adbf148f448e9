#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "demo/learned_text.h"
#include "demo/signs.h"
#include "editing/term_list.h"
#include "pipelines/pipeline.h"

namespace glyphscope {

/// Which signs a demo model draws, by its recipe.json; for another model, the usual ones. Throws a Failure for a damaged recipe.
SignData sign_data(const ModelInfo& model);

/// Of a demo model; none for another, whose limits are not known.
std::optional<LearnedText> learned_text(const ModelInfo& model);

/// The words of a list, in capitals, less those that are too short or too long for such signs. Throws a Failure if none is left.
std::vector<std::string> sign_words(const SignData& data, const std::filesystem::path& list);

/// Words for so many pairs of a localization, in capitals, that no demo model was trained on and the model can write: those of words/localize.txt, and
/// where these are too few (of three letters it has ten), those of words/evaluate.txt too.
std::vector<std::string> localization_words(const SignData& data, size_t pairs);

/// Templates for a localization, each with <text>: signs for a demo model, the paper's simple template for another.
std::vector<std::string> localization_templates(const ModelInfo& model);

/// Two prompts to begin with that differ in their text alone, which the model can write: signs for a demo model, the paper's simple template for another.
std::pair<std::string, std::string> example_prompts(const ModelInfo& model);

/// Prompts of the samples that a fine-tuning draws: the lines of `file`; or, if it is empty, some that ship with Glyphscope, signs for a demo model.
/// Each "<text>" becomes a word that no demo model was trained on. Throws a Failure.
std::vector<std::string> sample_prompts(const ModelInfo& model, const std::filesystem::path& file = {});

/// Prompts that ask for a list's terms: signs with those that fit, for a demo model; the sample prompts for another. Throws a Failure if none fits.
std::vector<std::string> term_prompts(const ModelInfo& model, const TermList& terms, size_t count);

}  // namespace glyphscope
