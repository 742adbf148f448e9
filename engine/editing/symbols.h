#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

namespace glyphscope {

/// A character of a text as terms are looked for in it, after folding.
struct Symbol {
  std::vector<char32_t> letters;  ///< any of which it may stand for
  bool letter = false, digit = false;
  bool space = false;
  bool number = false;  ///< a digit that stands with digits alone
  bool apart = false;   ///< may stand between the letters of one word: no letter or digit, nor an apostrophe of the language
  bool ending = false;  ///< an apostrophe before an end that the language has: no word begins after it
  bool quoted = false;  ///< stands in quotation marks, which hold what is to be written
  bool edge = false;    ///< a digit with no letter beyond it: it hangs on a word, but is none of its letters
  bool upper = false, lower = false;
  size_t begin = 0, end = 0;  ///< bytes of the text
  bool word() const { return letter || digit; }
  bool is(char32_t one) const { return std::find(letters.begin(), letters.end(), one) != letters.end(); }
};

/// The characters of a text in UTF-8, in order; those that nobody sees belong to the one before them.
std::vector<Symbol> symbols_of(const std::string& text);

bool is_hyphen(char32_t code);

/// A text without case, width, compatibility forms, accents and invisible characters.
std::vector<char32_t> folded(const std::string& text);

}  // namespace glyphscope
