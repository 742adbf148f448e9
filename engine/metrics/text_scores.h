#pragma once

#include <string>

namespace glyphscope {

/// How well a text that was read matches the text that was wanted; both are case-folded and trimmed, runs of spaces are one.
struct TextScores {
  double precision = 0;                 ///< Share of the characters read that were wanted, as multisets, spaces counted.
  double recall = 0;                    ///< Share of the characters wanted that were read.
  double f1 = 0;                        ///< Harmonic mean of the two, for this image.
  bool exact = false;                   ///< The texts are equal.
  bool anagram = false;                 ///< The same letters in any order, without spaces: what the paper's code calls accuracy.
  int edit_distance = 0;                ///< Levenshtein distance in code points;
  double normalized_edit_distance = 0;  ///< and its share of the longer text's length: 0 of equal texts, 1 of two that have nothing in common.
  double word_precision = 0, word_recall = 0, word_f1 = 0;  ///< The same of words, which spaces and line ends part, as multisets.
};

TextScores score_text(const std::string& read, const std::string& wanted);

}  // namespace glyphscope
