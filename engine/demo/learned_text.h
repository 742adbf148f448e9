#pragma once

#include <string>
#include <vector>

namespace glyphscope {

/// The texts that a model was taught to write: one word of the letters A to Z, large or small.
struct LearnedText {
  int shortest = 0, longest = 0;  ///< Letters.
};

/// Which of the texts is no such word: a sentence without its full stop; empty if all are, or ask for none.
std::string note_on_learned(const LearnedText& learned, const std::vector<std::string>& texts);

}  // namespace glyphscope
