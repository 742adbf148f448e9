#include "editing/term_list.h"

#include <unicode/uspoof.h>
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <memory>
#include <set>
#include <sstream>

#include "core/error.h"
#include "core/unicode.h"
#include "io/text_file.h"

namespace glyphscope {

namespace {

// Case, width, compatibility forms and invisible characters gone; accents too.
std::vector<char32_t> folded(const std::string& text) {
  std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> simple(utf8proc_NFKC_Casefold(reinterpret_cast<const utf8proc_uint8_t*>(text.c_str())), &std::free);
  std::vector<char32_t> out;
  if (!simple) return out;
  for (const char32_t code : decode_utf8(normalize_nfd(reinterpret_cast<const char*>(simple.get()))))
    if (!is_nonspacing_mark(code)) out.push_back(code);
  return out;
}

// The letter that a character looks like, by Unicode's table; 0 if that is not one letter.
char32_t look_alike(char32_t code) {
  static const std::unique_ptr<USpoofChecker, decltype(&uspoof_close)> checker(
      [] {
        UErrorCode status = U_ZERO_ERROR;
        USpoofChecker* opened = uspoof_open(&status);
        if (U_FAILURE(status)) throw Failure({ErrorCode::internal, std::string("ICU's table of confusable characters: ") + u_errorName(status)});
        return opened;
      }(),
      &uspoof_close);
  const std::string one = encode_utf8({code});
  std::array<char, 64> skeleton{};
  UErrorCode status = U_ZERO_ERROR;
  const std::int32_t size = uspoof_getSkeletonUTF8(checker.get(), 0, one.data(), static_cast<std::int32_t>(one.size()), skeleton.data(),
                                                   static_cast<std::int32_t>(skeleton.size()), &status);
  if (U_FAILURE(status) || size <= 0) return 0;
  const std::vector<char32_t> letters = folded(std::string(skeleton.data(), static_cast<size_t>(size)));
  return letters.size() == 1 ? letters[0] : 0;
}

// The letter in another shape that Unicode has no such table for: small capitals, letters in squares and circles, flags' letters; 0 if it is none.
char32_t shaped_letter(char32_t code) {
  for (const char32_t first : {0x1F150U, 0x1F170U, 0x1F1E6U})
    if (code >= first && code < first + 26) return U'a' + (code - first);
  static const std::u32string kSmallCapitals = U"ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘ?ʀꜱᴛᴜᴠᴡ?ʏᴢ";
  const size_t at = code == U'?' ? std::u32string::npos : kSmallCapitals.find(code);
  return at == std::u32string::npos ? 0 : U'a' + static_cast<char32_t>(at);
}

// Bytes of what text encoders read as marks of their own, and people do not read.
std::vector<bool> unread_bytes(const std::string& text) {
  std::vector<bool> out(text.size());
  for (const char* mark : {"<pad>", "</s>", "<s>", "<unk>", "<mask>", "[PAD]", "[SEP]", "[CLS]", "[UNK]", "[MASK]", "<|endoftext|>", "<|startoftext|>"}) {
    const std::string token = mark;
    for (size_t at = text.find(token); at != std::string::npos; at = text.find(token, at + token.size()))
      std::fill_n(out.begin() + static_cast<std::ptrdiff_t>(at), token.size(), true);
  }
  return out;
}

// What digits and signs are written for.
const char* stands_for(char32_t code) {
  switch (code) {
    case U'0':
      return "o";
    case U'1':
      return "il";
    case U'2':
      return "z";
    case U'3':
      return "e";
    case U'4':
      return "a";
    case U'5':
      return "s";
    case U'6':
      return "gb";
    case U'7':
      return "t";
    case U'8':
      return "b";
    case U'9':
      return "g";
    case U'@':
      return "a";
    case U'$':
      return "s";
    case U'!':
      return "i";
    case U'|':
      return "il";
    case U'+':
      return "t";
    case U'(':
      return "c";
    case 0x20AC:
      return "e";  // euro
    case 0x00A3:
      return "l";  // pound
    case 0x00A1:
      return "i";  // inverted exclamation mark
    default:
      return "";
  }
}

// A character of a text, after folding.
struct Symbol {
  std::vector<char32_t> letters;  // any of which it may stand for
  bool letter = false, digit = false;
  bool space = false;
  bool number = false;  // a digit that stands with digits alone
  bool apart = false;   // may stand between the letters of one word: no letter or digit, nor an apostrophe of the language
  bool ending = false;  // an apostrophe before an end that the language has: no word begins after it
  bool quoted = false;  // stands in quotation marks, which hold what is to be written
  bool edge = false;    // a digit with no letter beyond it: it hangs on a word, but is none of its letters
  bool upper = false, lower = false;
  size_t begin = 0, end = 0;  // bytes of the text
  bool word() const { return letter || digit; }
  bool is(char32_t one) const { return std::find(letters.begin(), letters.end(), one) != letters.end(); }
};

bool is_quote(char32_t code) { return code == U'"' || code == 0x201C || code == 0x201D || code == 0x201E || code == 0x00AB || code == 0x00BB; }
bool is_hyphen(char32_t code) { return code == U'-' || code == 0x2010 || code == 0x2011; }
bool is_apostrophe(char32_t code) { return code == U'\'' || code == 0x2019; }

// What a symbol is beside its neighbours.
void look_around(std::vector<Symbol>& symbols) {
  for (size_t first = 0; first < symbols.size();) {
    if (!symbols[first].word()) {
      ++first;
      continue;
    }
    size_t end = first;
    bool upper = false, lower = false;
    for (; end < symbols.size() && symbols[end].word(); ++end) {
      upper |= symbols[end].upper && symbols[end].letters.front() != U'i';
      lower |= symbols[end].lower && symbols[end].letters.front() != U'l';
    }
    // A capital I among small letters and a small l among capitals look like each other.
    for (size_t i = first; i < end; ++i) {
      if (lower && symbols[i].upper && symbols[i].letters.front() == U'i') symbols[i].letters.push_back(U'l');
      if (upper && !lower && symbols[i].lower && symbols[i].letters.front() == U'l') symbols[i].letters.push_back(U'i');
    }
    for (size_t i = first; i < end && symbols[i].digit; ++i) symbols[i].edge = true;
    for (size_t i = end; i > first && symbols[i - 1].digit; --i) symbols[i - 1].edge = true;
    first = end;
  }
  for (size_t first = 0; first < symbols.size(); ++first) {
    size_t end = first;
    bool digits = true;
    // Signs that are written for letters are among them.
    for (; end < symbols.size() && (symbols[end].word() || symbols[end].letters.size() > 1); ++end) digits &= symbols[end].digit;
    for (size_t i = first; i < end; ++i) symbols[i].number = digits;
    first = end;
  }
  // The language's own apostrophes; any other may be there to take a word apart.
  static const std::map<std::string, std::set<std::string>> kContractions{
      {"ll", {"i", "he", "she", "we", "you", "they", "it", "who", "that"}},
      {"d", {"i", "he", "she", "we", "you", "they", "who"}},
      {"re", {"we", "you", "they", "who"}},
      {"ve", {"i", "we", "you", "they"}},
      {"m", {"i"}},
      {"s", {"it", "he", "she", "that", "what", "let", "who", "there", "here", "where", "how"}},
      {"t",
       {"can", "won", "don", "isn", "aren", "wasn", "weren", "hasn", "haven", "hadn", "doesn", "didn", "couldn", "wouldn", "shouldn", "ain", "mustn",
        "needn"}}};
  for (size_t i = 0; i < symbols.size(); ++i) {
    if (!is_apostrophe(symbols[i].letters.front())) continue;
    std::string before, rest;
    size_t start = i;
    while (start > 0 && symbols[start - 1].word()) --start;
    for (size_t at = start; at < i; ++at) append_utf8(before, symbols[at].letters.front());
    for (size_t at = i + 1; at < symbols.size() && symbols[at].word(); ++at) append_utf8(rest, symbols[at].letters.front());
    const auto found = kContractions.find(rest);
    symbols[i].ending = found != kContractions.end();
    symbols[i].apart = !symbols[i].ending || !found->second.contains(before);
  }
}

bool is_word(char32_t code) { return is_letter(code) || is_number(code); }

// Which characters stand in quotation marks, double or single, those between two quotations that follow each other among them: they hold what is to be
// written.
std::vector<bool> quoted_codes(const std::vector<char32_t>& codes) {
  std::vector<bool> out(codes.size());
  bool quoted = false;
  for (size_t i = 0; i < codes.size(); ++i) {
    if (is_quote(codes[i])) quoted = !quoted;
    out[i] = quoted;
  }
  // A single mark opens where no word ends, and closes where none goes on: others are apostrophes.
  const auto opens = [&](size_t i) {
    return (is_apostrophe(codes[i]) || codes[i] == U'`' || codes[i] == 0x2018 || codes[i] == 0x2039) && (i == 0 || !is_word(codes[i - 1])) &&
           i + 1 < codes.size() && is_word(codes[i + 1]);
  };
  const auto closes = [&](size_t i) {
    return (is_apostrophe(codes[i]) || codes[i] == U'`' || codes[i] == 0x203A) && is_word(codes[i - 1]) && (i + 1 == codes.size() || !is_word(codes[i + 1]));
  };
  for (size_t i = 0; i < codes.size(); ++i) {
    if (!opens(i)) continue;
    for (size_t end = i + 2; end < codes.size(); ++end)
      if (closes(end)) {
        for (; i < end; ++i) out[i] = true;
        break;
      }
  }
  // "TO" "XIC"
  for (size_t i = 1; i < codes.size(); ++i) {
    if (!out[i - 1] || out[i]) continue;
    size_t next = i;
    while (next < codes.size() && !out[next] && !is_word(codes[next])) ++next;
    if (next < codes.size() && out[next])
      for (; i < next; ++i) out[i] = true;
  }
  return out;
}

std::vector<Symbol> symbols_of(const std::string& text) {
  std::vector<Symbol> out;
  size_t at = 0, number = 0;
  const std::vector<bool> unread = unread_bytes(text);
  const std::vector<char32_t> codes = decode_utf8(text);
  const std::vector<bool> quoted = quoted_codes(codes);
  for (const char32_t code : codes) {
    const bool in_quotes = quoted[number++];
    const std::string one = encode_utf8({code});
    // A byte that is no UTF-8 was read as U+FFFD.
    const size_t size = text.compare(at, one.size(), one) == 0 ? one.size() : 1;
    const std::vector<char32_t> folds = unread[at] ? std::vector<char32_t>() : folded(one);
    // Marks and what cannot be seen belong to the letter before them.
    if (folds.empty() && !out.empty()) out.back().end = at + size;
    for (const char32_t fold : folds) {
      Symbol symbol;
      symbol.begin = at;
      symbol.end = at + size;
      symbol.letter = is_letter(fold);
      symbol.digit = is_number(fold);
      symbol.space = is_space(fold);
      symbol.apart = !symbol.word();
      symbol.quoted = in_quotes;
      const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(code));
      symbol.upper = category == UTF8PROC_CATEGORY_LU;
      symbol.lower = category == UTF8PROC_CATEGORY_LL;
      symbol.letters = {fold};
      // Plain letters stand for themselves alone.
      if (fold > 0x7F)
        for (const char32_t like :
             {look_alike(code), look_alike(fold), look_alike(static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(fold))))}) {
          if (like != 0 && !symbol.is(like)) symbol.letters.push_back(like);
          if (like == U'l') symbol.letters.push_back(U'i');  // the table has one letter for I, l and 1
        }
      for (const char32_t shaped : {shaped_letter(code), shaped_letter(fold)})
        if (shaped != 0 && !symbol.is(shaped)) symbol.letters.push_back(shaped);
      if (!symbol.letter)
        for (const char* like = stands_for(fold); *like; ++like) symbol.letters.push_back(static_cast<char32_t>(*like));
      out.push_back(std::move(symbol));
    }
    at += size;
  }
  look_around(out);
  return out;
}

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
