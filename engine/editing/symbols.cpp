#include "editing/symbols.h"

#include <unicode/uspoof.h>
#include <utf8proc.h>

#include <array>
#include <cstdlib>
#include <map>
#include <memory>
#include <set>

#include "core/error.h"
#include "core/unicode.h"

namespace glyphscope {

std::vector<char32_t> folded(const std::string& text) {
  std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> simple(utf8proc_NFKC_Casefold(reinterpret_cast<const utf8proc_uint8_t*>(text.c_str())), &std::free);
  std::vector<char32_t> out;
  if (!simple) return out;
  for (const char32_t code : decode_utf8(normalize_nfd(reinterpret_cast<const char*>(simple.get()))))
    if (!is_nonspacing_mark(code)) out.push_back(code);
  return out;
}

bool is_hyphen(char32_t code) { return code == U'-' || code == 0x2010 || code == 0x2011; }

namespace {

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

bool is_quote(char32_t code) { return code == U'"' || code == 0x201C || code == 0x201D || code == 0x201E || code == 0x00AB || code == 0x00BB; }
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

}  // namespace

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

}  // namespace glyphscope
