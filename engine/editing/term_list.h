#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace glyphscope {

/// Words that are not to be written.
struct Term {
  std::string text;                        ///< A word, or several with spaces between.
  std::optional<std::string> replacement;  ///< What stands in its place; none: nothing.
};

/// Where a text has a term.
struct TermMatch {
  size_t term = 0;            ///< Index into the list.
  size_t begin = 0, end = 0;  ///< Bytes of the text.
  bool operator==(const TermMatch&) const = default;
};

/// A list of terms, and how a text is searched for them: by whole words, to which digits may be hung ("hate99"), whatever their case, width, accents and
/// invisible characters; with letters that look alike, in other scripts (Unicode TR 39) and in this one ("evlL", "vvar"), with digits and signs in place of
/// letters ("h4te"), with letters set apart ("h a t e", "h.a-te"), again and again ("haaate") or behind stars ("h*te"), with the endings of their other forms
/// ("hated"), and within quotation marks, which hold what is to be written, with letters in several words ("ha te"). What only looks like a term is left
/// alone: initials, routes and plates, functions, units.
class TermList {
 public:
  /// Throws a Failure for a term without a letter.
  explicit TermList(std::vector<Term> terms);
  /// A term a line, or "TERM => REPLACEMENT"; "#" begins a comment. Throws a Failure that names file and line.
  static TermList read(const std::filesystem::path& file);
  /// The same of a text; `name` stands for the file in errors.
  static TermList parse(const std::string& text, const std::string& name);

  const std::vector<Term>& terms() const { return terms_; }
  /// From left to right, none overlapping another: at each place the longest.
  /// written: all of the text is what is written somewhere, as if it stood in quotation marks.
  std::vector<TermMatch> find(const std::string& text, bool written = false) const;
  /// Behind what a term that was found in the text hides: some of "case or width", "invisible characters or accents", "letters that look alike", "digits or
  /// signs for letters", "letters set apart"; none if it stands there as in the list.
  std::vector<std::string> disguises(const std::string& text, const TermMatch& found) const;
  /// What takes the place of a term that was found in the text, in capitals where the term was.
  std::string replacement(const std::string& text, const TermMatch& found) const;

 private:
  std::vector<Term> terms_;
  std::vector<std::vector<char32_t>> letters_;  // of each term, folded; spaces between its words
};

}  // namespace glyphscope
