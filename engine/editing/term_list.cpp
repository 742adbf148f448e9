#include "editing/term_list.h"

#include <algorithm>
#include <set>
#include <sstream>

#include "core/error.h"
#include "core/unicode.h"
#include "editing/symbols.h"
#include "io/text_file.h"

namespace glyphscope {

namespace {

// What stands between two words of a term: a space, or a hyphen, which may be left out.
bool is_gap(char32_t letter) { return letter == U' ' || letter == U'-'; }

constexpr size_t kMostApart = 16;  // signs between two letters of one word
constexpr size_t kLongTerm = 5;    // letters of a term that is seldom another word with rn for m

// Whether two letters from a place on look like one.
bool looks_like(const std::vector<Symbol>& symbols, size_t at, char32_t letter) {
  const auto pair = [&](char32_t one, char32_t two) {
    return at + 1 < symbols.size() && symbols[at].letters.front() == one && symbols[at + 1].letters.front() == two;
  };
  return (letter == U'w' && pair(U'v', U'v')) || (letter == U'm' && pair(U'r', U'n'));
}

// How the letters of a word may stand: signs between them; or each alone, with spaces or signs between; or, of what is to be written, in several words; or
// some of them behind stars.
enum class Spread { joined, spaced, split, starred };

bool is_star(const Symbol& symbol) { return symbol.letters.front() == U'*'; }

// Past the letters of an ending that makes another form of the word whose letters end before `at`: hates, killed, sinning; else `at`. The last letters of
// the word itself may change before it, which `letters` then lacks: hat(e), ugl(y).
size_t past_ending(const std::vector<Symbol>& symbols, size_t at, const std::vector<char32_t>& letters, char32_t lost) {
  const auto vowel = [](char32_t c) { return c == U'a' || c == U'e' || c == U'i' || c == U'o' || c == U'u'; };
  const auto plain = [](char32_t c) { return c >= U'a' && c <= U'z'; };
  if (letters.size() < 2 || !plain(letters.back())) return at;
  const char32_t last = letters.back(), before = letters[letters.size() - 2];
  std::vector<std::u32string> endings;
  if (lost == U'e') {
    endings = {U"ing", U"ings"};
  } else if (lost == U'y') {
    endings = {U"ies", U"ied", U"ier", U"iest"};
  } else if (last == U'e') {
    endings = {U"s", U"d", U"r", U"rs"};
  } else {
    const bool hisses = last == U's' || last == U'x' || last == U'z' || (last == U'h' && (before == U'c' || before == U's'));
    endings = {hisses ? U"es" : U"s"};
    // A short word's single consonant after a single vowel is doubled: sin, sinning; "rating" is of another word than "rat".
    const bool doubles = letters.size() < kLongTerm && !vowel(last) && vowel(before) && (letters.size() < 3 || !vowel(letters[letters.size() - 3])) &&
                         last != U'w' && last != U'x' && last != U'y';
    for (const char32_t* ending : {U"ed", U"er", U"ers", U"est", U"ing", U"ings"}) endings.push_back(doubles ? last + std::u32string(ending) : ending);
  }
  for (const auto& ending : endings) {
    if (at + ending.size() > symbols.size()) continue;
    bool fits = true;
    for (size_t i = 0; fits && i < ending.size(); ++i) fits = symbols[at + i].letter && symbols[at + i].letters.front() == ending[i];
    const size_t past = at + ending.size();
    if (fits && (past == symbols.size() || !symbols[past].word() || symbols[past].edge)) return past;
  }
  return at;
}

// What is written so is no word: initials ("A. S. S." has its points), a route or a plate ("A55", "R4T 12"), a function of mathematics, a unit.
bool is_no_word(const std::vector<Symbol>& symbols, size_t first, size_t past, const std::vector<char32_t>& term) {
  size_t letters = 0, digits = 0, points = 0, others = 0;
  bool capitals = true, small = true;
  for (size_t i = first; i < past; ++i) {
    const Symbol& one = symbols[i];
    letters += one.letter;
    digits += one.digit;
    points += !one.word() && one.letters.front() == U'.';
    others += !one.word() && one.letters.front() != U'.';
    capitals &= !one.letter || one.upper;
    small &= !one.letter || one.lower;
  }
  const auto next_is = [&](char32_t code) { return past < symbols.size() && symbols[past].letters.front() == code; };
  constexpr size_t kShort = 3;
  if (capitals && digits == 0 && others == 0 && letters <= kShort && points + 1 == letters && letters > 1 && next_is(U'.')) return true;
  if (capitals && digits > 0 && points + others == 0 && letters + digits <= kShort) {
    if (letters < digits) return true;
    const auto number_at = [&](size_t from, int step) {  // a word with a digit, one sign away
      size_t at = from + static_cast<size_t>(step);
      for (; at < symbols.size() && symbols[at].word(); at += static_cast<size_t>(step))
        if (symbols[at].digit) return true;
      return false;
    };
    if ((past < symbols.size() && !symbols[past].word() && number_at(past, 1)) || (first > 1 && !symbols[first - 1].word() && number_at(first - 1, -1)))
      return true;
  }
  std::string name;
  for (const char32_t letter : term) append_utf8(name, letter);
  static const std::set<std::string> kFunctions{"sin", "cos", "tan", "sec", "cot", "log", "exp", "det", "max", "min", "arg", "rot", "div"};
  if (kFunctions.contains(name) && small && next_is(U'(')) {
    size_t inner = past + 1, run = 0, longest = 0;
    for (; inner < symbols.size() && symbols[inner].letters.front() != U')'; ++inner) {
      run = symbols[inner].letter ? run + 1 : 0;
      longest = std::max(longest, run);
    }
    if (inner < symbols.size() && longest < kShort) return true;
  }
  static const std::set<std::string> kUnits{"in", "mm", "cm", "km", "kg", "mg", "ml", "rad", "oz", "lb", "ft", "bar", "mol", "cal", "gal", "pt", "qt", "rem"};
  if (kUnits.contains(name) && small) {
    size_t before = first;
    while (before > 0 && symbols[before - 1].space) --before;
    if (before > 0 && symbols[before - 1].digit) return true;
  }
  return false;
}

// How far a term reaches from a place, past its last symbol; 0 if it is not there. lost: the term's last letter, if `letters` lacks it, as before an ending
// that takes its place.
size_t match(const std::vector<Symbol>& symbols, size_t at, const std::vector<char32_t>& letters, Spread spread, char32_t lost = 0) {
  const size_t first = at;
  size_t stars = 0;
  bool wordless = true, all_digits = true, to_be_written = spread == Spread::split;
  for (size_t i = 0; i < letters.size(); ++i) {
    if (is_gap(letters[i])) {
      size_t gap = 0;
      for (; at < symbols.size() && symbols[at].apart && !symbols[at].is(letters[i + 1]); ++at) ++gap;
      // Words run together are another word, but where they are written, or read.
      to_be_written |= gap == 0 && letters[i] == U' ';
      continue;
    }
    if (i > 0 && !is_gap(letters[i - 1])) {
      size_t gap = 0;
      if (spread == Spread::starred && at < symbols.size() && is_star(symbols[at])) {
        ++stars;
        ++at;
        continue;
      }
      // A sign that is written for the letter is the letter; spaces in a row are read as one.
      for (; at < symbols.size() && symbols[at].apart && !symbols[at].is(letters[i]) && gap <= kMostApart; ++at) {
        if (symbols[at].space && spread == Spread::joined) return 0;
        if (!symbols[at].space || !symbols[at - 1].space) ++gap;
      }
      if (gap > kMostApart || (spread == Spread::spaced && gap == 0) || (spread == Spread::starred && gap > 0)) return 0;
    }
    if (looks_like(symbols, at, letters[i]) && (letters[i] != U'm' || letters.size() >= kLongTerm))
      ++at;
    else if (at >= symbols.size() || !symbols[at].is(letters[i]))
      return 0;
    // "5 in 1", "5-in-1": a number beside words is no letter of theirs.
    if (symbols[at].number && spread != Spread::spaced) return 0;
    wordless &= !symbols[at].letter;
    all_digits &= symbols[at].digit;
    ++at;
    // The same letter again and again: no word has it three times.
    if (i + 1 == letters.size() || letters[i + 1] != letters[i]) {
      size_t run = at;
      while (run < symbols.size() && symbols[run].letter && symbols[run].letters.front() == letters[i]) ++run;
      if (run >= at + 2) at = run;
    }
  }
  if (spread == Spread::starred &&
      (stars == 0 || 2 * stars > letters.size() || (at < symbols.size() && is_star(symbols[at])) || (first > 0 && is_star(symbols[first - 1]))))
    return 0;
  if (spread == Spread::joined) {
    const size_t past = past_ending(symbols, at, letters, lost);
    if (lost != 0 && past == at) return 0;
    at = past;
  }
  if (to_be_written && !std::all_of(symbols.begin() + static_cast<std::ptrdiff_t>(first), symbols.begin() + static_cast<std::ptrdiff_t>(at),
                                    [](const Symbol& one) { return one.quoted; }))
    return 0;
  // Whole words, to which digits may have been hung; and a number is a number.
  const auto goes_on = [](const Symbol& one) { return one.word() && !one.edge; };
  if ((first > 0 && (goes_on(symbols[first - 1]) || symbols[first - 1].ending)) || (at < symbols.size() && goes_on(symbols[at]))) return 0;
  return (wordless && all_digits) || is_no_word(symbols, first, at, letters) ? 0 : at;
}

std::string trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\r"), last = text.find_last_not_of(" \t\r");
  return first == std::string::npos ? "" : text.substr(first, last - first + 1);
}

}  // namespace

TermList::TermList(std::vector<Term> terms) : terms_(std::move(terms)) {
  for (const auto& term : terms_) {
    std::vector<char32_t> letters;
    for (const char32_t code : folded(term.text)) {
      if (is_letter(code) || is_number(code))
        letters.push_back(code);
      else if ((is_space(code) || is_hyphen(code)) && !letters.empty() && !is_gap(letters.back()))
        letters.push_back(is_space(code) ? U' ' : U'-');
    }
    while (!letters.empty() && is_gap(letters.back())) letters.pop_back();
    // Two lines that were to be two terms, perhaps, or what a terminal would obey.
    for (const char32_t code : decode_utf8(term.text + term.replacement.value_or("")))
      if ((code < 0x20 && code != U'\t') || (code >= 0x7F && code < 0xA0) || code == 0x2028 || code == 0x2029)
        reject("a term holds a control character", "list of terms");
    if (std::none_of(letters.begin(), letters.end(), is_letter)) reject("the term '" + term.text + "' has no letter", "list of terms");
    letters_.push_back(std::move(letters));
  }
}

TermList TermList::read(const std::filesystem::path& file) {
  TermList out = parse(read_text_file(file), file.string());
  if (out.terms().empty()) reject("there is no term in it", file.string(), "Write one a line: TERM, or TERM => REPLACEMENT");
  return out;
}

TermList TermList::parse(const std::string& text, const std::string& name) {
  std::istringstream lines(text);
  std::vector<Term> terms;
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    // A comment; not the end of "c#".
    size_t comment = line.find('#');
    while (comment != std::string::npos && comment > 0 && line[comment - 1] != ' ' && line[comment - 1] != '\t') comment = line.find('#', comment + 1);
    line = trimmed(line.substr(0, comment));
    if (line.empty()) continue;
    const size_t arrow = line.find("=>");
    Term term{trimmed(line.substr(0, arrow)), {}};
    if (arrow != std::string::npos) term.replacement = trimmed(line.substr(arrow + 2));
    if (const auto valid = attempt([&] { TermList({term}); }); !valid)
      reject(valid.error().what, name + ", line " + std::to_string(number), "Write TERM, or TERM => REPLACEMENT");
    terms.push_back(std::move(term));
  }
  return TermList(std::move(terms));
}

namespace {

// Where a term may end that begins at a place, in each way in which it may stand there; 0 where it does not.
std::vector<size_t> ends_of(const std::vector<Symbol>& symbols, size_t at, const std::vector<char32_t>& letters) {
  std::vector<size_t> out;
  for (const Spread spread : {Spread::joined, Spread::spaced, Spread::split, Spread::starred}) out.push_back(match(symbols, at, letters, spread));
  // hate, hating; ugly, uglier
  if (const char32_t last = letters.back(); letters.size() > 3 && (last == U'e' || last == U'y'))
    out.push_back(match(symbols, at, {letters.begin(), letters.end() - 1}, Spread::joined, last));
  return out;
}

}  // namespace

std::vector<TermMatch> TermList::find(const std::string& text, bool written) const {
  std::vector<Symbol> symbols = symbols_of(text);
  if (written)
    for (auto& symbol : symbols) symbol.quoted = true;
  std::vector<TermMatch> out;
  for (size_t at = 0; at < symbols.size();) {
    TermMatch best;
    size_t past = 0;
    for (size_t term = 0; term < letters_.size(); ++term)
      for (const size_t end : ends_of(symbols, at, letters_[term])) {
        if (end <= past) continue;
        past = end;
        best = {term, symbols[at].begin, symbols[end - 1].end};
      }
    if (past > 0) out.push_back(best);
    at = std::max(at + 1, past);
  }
  return out;
}

std::vector<std::string> TermList::disguises(const std::string& text, const TermMatch& found) const {
  const std::string seen = text.substr(found.begin, found.end - found.begin);
  const std::vector<char32_t>& letters = letters_.at(found.term);
  bool cased = false, hidden = false, alike = false, signs = false, apart = false;
  for (const char32_t code : decode_utf8(seen)) {
    const std::vector<char32_t> plain = folded(encode_utf8({code}));
    const std::vector<char32_t> parts = decode_utf8(normalize_nfd(encode_utf8({code})));
    hidden |= plain.empty() || std::any_of(parts.begin(), parts.end(), is_nonspacing_mark);
  }
  const std::vector<Symbol> symbols = symbols_of(seen);
  size_t at = 0;
  for (size_t i = 0; i < letters.size(); ++i) {
    const bool gap = is_gap(letters[i]);
    if (gap) ++i;
    for (; at < symbols.size() && symbols[at].apart && !symbols[at].is(letters[i]); ++at) apart |= !gap;
    if (at == symbols.size()) break;
    const bool pair = at + 1 < symbols.size() && !symbols[at].is(letters[i]) && looks_like(symbols, at, letters[i]);
    const Symbol& symbol = symbols[at];
    at += pair ? 2 : 1;
    if (pair || symbol.letters.front() != letters[i])
      (symbol.letter ? alike : signs) = true;
    else
      cased |= encode_utf8({letters[i]}) != seen.substr(symbol.begin, symbol.end - symbol.begin) && !is_nonspacing_mark(letters[i]);
  }
  std::vector<std::string> out;
  // A letter with a mark is no longer one of another case.
  if (cased && !hidden) out.emplace_back("case or width");
  if (hidden) out.emplace_back("invisible characters or accents");
  if (alike) out.emplace_back("letters that look alike");
  if (signs) out.emplace_back("digits or signs for letters");
  if (apart) out.emplace_back("letters set apart");
  return out;
}

std::string TermList::replacement(const std::string& text, const TermMatch& found) const {
  std::string out = terms_[found.term].replacement.value_or("");
  const std::string seen = text.substr(found.begin, found.end - found.begin);
  // As the term was: without small letters.
  if (seen == normalize_nfc(seen) && std::none_of(seen.begin(), seen.end(), [](char c) { return c >= 'a' && c <= 'z'; }))
    std::transform(out.begin(), out.end(), out.begin(), [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
  return out;
}

}  // namespace glyphscope
