#pragma once

#include <string>
#include <vector>

#include "demo/signs.h"
#include "experiments/prompt_set.h"
#include "metrics/scores.h"
#include "pipelines/pipeline.h"

namespace glyphscope {

/// What two prompts for signs can differ by: "word", "length" (of the word), "sign-colour", "wall-colour", "shape". The drawing of signs is the truth for each.
/// Prompts do not tell font and place, so no layer that reads the prompt can carry them.
const std::vector<std::string>& sign_attributes();

/// `count` pairs of prompts for each attribute ("all": each that the model can be asked for), alike in all but that. Pair i of each attribute has the same
/// sign, so that attributes are compared on the same words. Throws a Failure for an unknown attribute, words of one length alone where lengths are to differ,
/// or a model that draws no signs.
std::vector<PromptPair> attribute_pairs(const ModelInfo& model, const std::vector<std::string>& attributes, size_t count, std::uint64_t seed);

/// Adds "target_attribute" and "source_attribute", 1 or 0, to a picture's scores: whether it shows what the pair's prompts ask for in its attribute. read: what
/// OCR read in it. Nothing is added for a pair without an attribute.
void score_attribute(const PromptPair& pair, const torch::Tensor& image, const std::string& read, Scores& scores);

}  // namespace glyphscope
