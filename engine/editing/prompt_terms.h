#pragma once

#include <string>
#include <vector>

#include "editing/term_list.h"

/// Listed terms of prompts, without a torch type: a window can include this.
namespace glyphscope {

/// A prompt as its readers have it, without the parentheses that weigh words, and the terms in it: "(HA:1.2)TE" reads as HATE.
struct PromptTerms {
  std::string text;
  std::vector<TermMatch> found;  ///< In the text.
};
/// Throws a Failure for weights that cannot be read.
PromptTerms find_terms(const TermList& list, const std::string& prompt);

/// The prompt with replacements in place of its terms, until none is left: what is taken out may have stood between the letters of another. Weights
/// stay; a replacement has that of the term's first letter. Throws a Failure if it does not end, or as find_terms().
std::string cleared_prompt(const TermList& list, const std::string& prompt);

}  // namespace glyphscope
