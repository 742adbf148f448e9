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

/// A list of terms, and how a text is searched for them: by whole words, whatever their case, width, accents and invisible characters; with letters that
/// look alike in other scripts (Unicode TR 39), with digits and signs in place of letters ("h4te"), and with letters set apart ("h a t e", "h.a-te").
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
  std::vector<TermMatch> find(const std::string& text) const;
  /// Behind what a term that was found in the text hides: some of "case or width", "invisible characters or accents", "letters of another script", "digits or
  /// signs for letters", "letters set apart"; none if it stands there as in the list.
  std::vector<std::string> disguises(const std::string& text, const TermMatch& found) const;
  /// The text with replacements for all that is found, in capitals where the term was.
  std::string replaced(const std::string& text) const;
  /// The same until no term is left: what is taken out may have stood between the letters of another. Throws a Failure if that does not end.
  std::string cleared(const std::string& text) const;

 private:
  std::vector<Term> terms_;
  std::vector<std::vector<char32_t>> letters_;  // of each term, folded; spaces between its words
};

}  // namespace glyphscope
