#include <unicode/normalizer2.h>
#include <unicode/regex.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/unicode.h"
#include "text/tokenizer.h"

/// What a tokenizer.json makes of a text before its model: normalizers, and pre-tokenizers that take it apart.
namespace glyphscope {
namespace {

using Normalizer = Tokenizer::Normalizer;
using Splitter = Tokenizer::Splitter;

// A part of a text, and whether a pattern matched it.
struct Span {
  std::string text;
  bool matched = false;
};
using Finder = std::function<std::vector<Span>(const std::string&)>;

// White space is Unicode's property to the tokenizers library, and not all of it to ICU.
std::string with_white_space(const std::string& pattern) {
  std::string out;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '\\' && i + 1 < pattern.size()) {
      const char next = pattern[++i];
      out += next == 's' ? "\\p{White_Space}" : next == 'S' ? "\\P{White_Space}" : std::string("\\") + next;
    } else {
      out += pattern[i];
    }
  }
  return out;
}

// A stranger's patterns may take longer than a life.
Finder find_pattern(const std::string& pattern, const std::string& where) {
  UErrorCode error = U_ZERO_ERROR;
  UParseError place;
  const std::shared_ptr<icu::RegexPattern> compiled(icu::RegexPattern::compile(icu::UnicodeString::fromUTF8(with_white_space(pattern)), 0, place, error));
  if (U_FAILURE(error)) reject("its pattern '" + pattern + "' cannot be read", where, "The file is damaged, or of another kind of patterns");
  return [compiled, pattern, where](const std::string& text) {
    constexpr int kLongest = 1000, kStack = 8 << 20;  // some tenths of a second; bytes
    UErrorCode status = U_ZERO_ERROR;
    const icu::UnicodeString all = icu::UnicodeString::fromUTF8(text);
    const std::unique_ptr<icu::RegexMatcher> matcher(compiled->matcher(all, status));
    if (matcher) {
      matcher->setTimeLimit(kLongest, status);
      matcher->setStackLimit(kStack, status);
    }
    std::vector<Span> out;
    const auto add = [&](int begin, int end, bool matched) {
      if (begin >= end) return;
      out.push_back({{}, matched});
      all.tempSubStringBetween(begin, end).toUTF8String(out.back().text);
    };
    int at = 0;
    while (matcher && U_SUCCESS(status) && matcher->find(status)) {
      const int begin = matcher->start(status), end = matcher->end(status);
      add(at, begin, false);
      add(begin, end, true);
      at = end;
    }
    if (U_FAILURE(status)) reject("its pattern '" + pattern + "' takes too long", where, "Write the prompt more simply");
    add(at, all.length(), false);
    return out;
  };
}

Finder find_literal(const std::string& wanted) {
  return [wanted](const std::string& text) {
    std::vector<Span> out;
    size_t at = 0;
    for (size_t place = wanted.empty() ? std::string::npos : text.find(wanted); place != std::string::npos; place = text.find(wanted, at)) {
      if (place > at) out.push_back({text.substr(at, place - at), false});
      out.push_back({wanted, true});
      at = place + wanted.size();
    }
    if (at < text.size()) out.push_back({text.substr(at), false});
    return out;
  };
}

// Each character that `matches`.
Finder find_characters(bool (*matches)(char32_t)) {
  return [matches](const std::string& text) {
    std::vector<Span> out;
    for (const char32_t code : decode_utf8(text)) {
      const bool matched = matches(code);
      if (out.empty() || matched || out.back().matched) out.push_back({{}, matched});
      append_utf8(out.back().text, code);
    }
    return out;
  };
}

Finder find(const nlohmann::json& pattern, const std::string& where) {
  if (pattern.is_object() && pattern.contains("Regex")) return find_pattern(pattern["Regex"].get<std::string>(), where);
  if (pattern.is_object() && pattern.contains("String")) return find_literal(pattern["String"].get<std::string>());
  reject("'" + pattern.dump().substr(0, 60) + "' is no pattern", where, "A Regex or a String was expected");
}

enum class Behavior { removed, isolated, with_previous, with_next, contiguous };

Behavior parse_behavior(const std::string& name, const std::string& where) {
  static const std::pair<const char*, Behavior> kNames[] = {{"Removed", Behavior::removed},
                                                            {"Isolated", Behavior::isolated},
                                                            {"MergedWithPrevious", Behavior::with_previous},
                                                            {"MergedWithNext", Behavior::with_next},
                                                            {"Contiguous", Behavior::contiguous}};
  for (const auto& [known, behavior] : kNames)
    if (name == known) return behavior;
  reject("its pre_tokenizer behaves as '" + name + "'", where, "Known are Removed, Isolated, MergedWithPrevious, MergedWithNext and Contiguous");
}

// What a pattern makes of a text, as the tokenizers library has it.
std::vector<std::string> take_apart(std::vector<Span> spans, Behavior behavior, bool invert) {
  std::vector<std::string> out;
  if (invert)
    for (auto& span : spans) span.matched = !span.matched;
  bool before = false;
  if (behavior == Behavior::with_next) std::reverse(spans.begin(), spans.end());
  for (auto& span : spans) {
    switch (behavior) {
      case Behavior::removed:
        if (!span.matched) out.push_back(std::move(span.text));
        break;
      case Behavior::isolated:
        out.push_back(std::move(span.text));
        break;
      case Behavior::contiguous:
        if (!out.empty() && before == span.matched)
          out.back() += span.text;
        else
          out.push_back(std::move(span.text));
        break;
      case Behavior::with_previous:
        if (span.matched && !before && !out.empty())
          out.back() += span.text;
        else
          out.push_back(std::move(span.text));
        break;
      case Behavior::with_next:
        if (span.matched && !before && !out.empty())
          out.back() = span.text + out.back();
        else
          out.push_back(std::move(span.text));
        break;
    }
    before = span.matched;
  }
  if (behavior == Behavior::with_next) std::reverse(out.begin(), out.end());
  std::erase_if(out, [](const std::string& word) { return word.empty(); });
  return out;
}

Splitter each(std::function<std::vector<std::string>(const std::string&)> one) {
  return [one = std::move(one)](const std::vector<std::string>& words, bool) {
    std::vector<std::string> out;
    for (const auto& word : words)
      for (auto& part : one(word)) out.push_back(std::move(part));
    return out;
  };
}

Splitter split_by(Finder finder, Behavior behavior, bool invert = false) {
  return each([finder = std::move(finder), behavior, invert](const std::string& word) { return take_apart(finder(word), behavior, invert); });
}

Splitter in_order(std::vector<Splitter> steps) {
  return [steps = std::move(steps)](std::vector<std::string> words, bool begins) {
    for (const auto& step : steps) words = step(words, begins);
    return words;
  };
}

std::string in_letters(const std::string& bytes) {
  std::string out;
  for (const unsigned char byte : bytes) out += byte_letters()[byte];
  return out;
}

// The blocks of CJK ideographs, each of which is a word of its own. Source: BERT, `_is_chinese_char`.
bool is_chinese(char32_t c) {
  constexpr std::pair<char32_t, char32_t> kBlocks[] = {{0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F},
                                                       {0x2B740, 0x2B81F}, {0x2B820, 0x2CEAF}, {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
  return std::any_of(std::begin(kBlocks), std::end(kBlocks), [&](const auto& block) { return c >= block.first && c <= block.second; });
}

// ASCII's symbols count as punctuation too.
bool is_punctuation_mark(char32_t c) {
  return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126) || is_punctuation(c);
}

bool is_dropped(char32_t c) { return c == 0 || c == 0xFFFD || (c != '\t' && c != '\n' && c != '\r' && is_control(c)); }

std::string lower(const std::string& text) {
  std::string out;
  for (const char32_t code : decode_utf8(text))
    for (const char32_t one : to_lower(code)) append_utf8(out, one);
  return out;
}

std::string without_accents(const std::string& text) {
  std::vector<char32_t> codes = decode_utf8(text);
  std::erase_if(codes, is_nonspacing_mark);
  return encode_utf8(codes);
}

// Of every kind, where BERT's are those that take no room.
std::string without_marks(const std::string& text) {
  std::vector<char32_t> codes = decode_utf8(text);
  std::erase_if(codes, [](char32_t code) { return (U_GET_GC_MASK(static_cast<UChar32>(code)) & U_GC_M_MASK) != 0; });
  return encode_utf8(codes);
}

// Source: the tokenizers library's BertNormalizer.
Normalizer bert(const nlohmann::json& part) {
  const bool clean = part.value("clean_text", true), chinese = part.value("handle_chinese_chars", true), lowercase = part.value("lowercase", true);
  const auto accents = part.find("strip_accents");
  const bool strip = accents != part.end() && accents->is_boolean() ? accents->get<bool>() : lowercase;
  return [=](const std::string& text) {
    std::string out;
    for (const char32_t code : decode_utf8(text)) {
      if (clean && is_dropped(code)) continue;
      const bool apart = chinese && is_chinese(code);
      if (apart) out += ' ';
      append_utf8(out, clean && is_space(code) ? U' ' : code);
      if (apart) out += ' ';
    }
    if (strip) out = without_accents(normalize_nfd(out));
    return lowercase ? lower(out) : out;
  };
}

Normalizer by_icu(const icu::Normalizer2* normalizer) {
  return [normalizer](const std::string& text) {
    UErrorCode status = U_ZERO_ERROR;
    std::string out;
    normalizer->normalize(icu::UnicodeString::fromUTF8(text), status).toUTF8String(out);
    return out;
  };
}

Normalizer compatible(bool composed, const std::string& where) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* normalizer = composed ? icu::Normalizer2::getNFKCInstance(status) : icu::Normalizer2::getNFKDInstance(status);
  if (U_FAILURE(status)) reject("this machine's Unicode tables have no compatibility forms", where);
  return by_icu(normalizer);
}

std::string stripped(const std::string& text, bool left, bool right) {
  const std::vector<char32_t> codes = decode_utf8(text);
  auto begin = codes.begin(), end = codes.end();
  while (left && begin < end && is_space(*begin)) ++begin;
  while (right && begin < end && is_space(*(end - 1))) --end;
  return encode_utf8({begin, end});
}

// GPT-2's words.
constexpr const char* kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

Splitter byte_level(const nlohmann::json& part, const std::string& where) {
  std::vector<Splitter> steps;
  if (part.value("add_prefix_space", true))
    steps.push_back(each([](const std::string& word) { return std::vector<std::string>{word.starts_with(' ') ? word : " " + word}; }));
  if (part.value("use_regex", true)) steps.push_back(split_by(find_pattern(kGpt2, where), Behavior::isolated));
  steps.push_back(each([](const std::string& word) { return std::vector<std::string>{in_letters(word)}; }));
  return in_order(std::move(steps));
}

Splitter metaspace(const nlohmann::json& part, const std::string& where) {
  const std::string letter = part.value("replacement", "\u2581");
  const std::string scheme = part.value("prepend_scheme", part.value("add_prefix_space", true) ? "always" : "never");
  if (scheme != "always" && scheme != "first" && scheme != "never")
    reject("its Metaspace is prepended '" + scheme + "'", where, "Known are always, first and never");
  const bool split = part.value("split", true);
  return [=](const std::vector<std::string>& words, bool begins) {
    std::vector<std::string> out;
    bool first = begins;
    for (const auto& word : words) {
      std::string text;
      for (const char c : word) text += c == ' ' ? letter : std::string(1, c);
      if ((scheme == "always" || (scheme == "first" && first)) && !text.starts_with(letter)) text = letter + text;
      first = false;
      if (!split)
        out.push_back(text);
      else
        for (auto& one : take_apart(find_literal(letter)(text), Behavior::with_next, false)) out.push_back(std::move(one));
    }
    return out;
  };
}

}  // namespace

Normalizer make_normalizer(const nlohmann::json& part, const std::string& where) {
  if (part.is_null()) return [](const std::string& text) { return text; };
  const std::string type = part_type(part);
  if (type == "Sequence") {
    std::vector<Normalizer> steps;
    for (const auto& one : part.at("normalizers")) steps.push_back(make_normalizer(one, where));
    return [steps](std::string text) {
      for (const auto& step : steps) text = step(text);
      return text;
    };
  }
  if (type == "NFC") return [](const std::string& text) { return normalize_nfc(text); };
  if (type == "NFD") return [](const std::string& text) { return normalize_nfd(text); };
  if (type == "NFKC" || type == "NFKD") return compatible(type == "NFKC", where);
  if (type == "Lowercase") return lower;
  if (type == "StripAccents") return without_marks;
  if (type == "BertNormalizer") return bert(part);
  if (type == "ByteLevel") return in_letters;
  if (type == "Strip")
    return [left = part.value("strip_left", true), right = part.value("strip_right", true)](const std::string& text) { return stripped(text, left, right); };
  if (type == "Prepend") return [before = part.at("prepend").get<std::string>()](const std::string& text) { return text.empty() ? text : before + text; };
  if (type == "Replace")
    return [finder = find(part.at("pattern"), where), content = part.at("content").get<std::string>()](const std::string& text) {
      std::string out;
      for (const auto& span : finder(text)) out += span.matched ? content : span.text;
      return out;
    };
  reject("its normalizer is of type '" + type + "'", where,
         "Known are NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, BertNormalizer, ByteLevel, Strip, Prepend, Replace and a Sequence of them");
}

Splitter make_splitter(const nlohmann::json& part, const std::string& where) {
  if (part.is_null()) return [](const std::vector<std::string>& words, bool) { return words; };
  const std::string type = part_type(part);
  if (type == "Sequence") {
    std::vector<Splitter> steps;
    for (const auto& one : part.at("pretokenizers")) steps.push_back(make_splitter(one, where));
    return in_order(std::move(steps));
  }
  if (type == "ByteLevel") return byte_level(part, where);
  if (type == "Metaspace") return metaspace(part, where);
  if (type == "Split")
    return split_by(find(part.at("pattern"), where), parse_behavior(part.at("behavior").get<std::string>(), where), part.value("invert", false));
  if (type == "Whitespace") return split_by(find_pattern(R"(\w+|[^\w\s]+)", where), Behavior::removed, /*invert=*/true);
  if (type == "WhitespaceSplit") return split_by(find_characters(is_space), Behavior::removed);
  if (type == "BertPreTokenizer")
    return in_order({split_by(find_characters(is_space), Behavior::removed), split_by(find_characters(is_punctuation_mark), Behavior::isolated)});
  if (type == "Punctuation") return split_by(find_characters(is_punctuation_mark), parse_behavior(part.value("behavior", "Isolated"), where));
  if (type == "Digits") return split_by(find_characters(is_number), part.value("individual_digits", false) ? Behavior::isolated : Behavior::contiguous);
  if (type == "CharDelimiterSplit") return split_by(find_literal(part.at("delimiter").get<std::string>()), Behavior::removed);
  reject(
      "its pre_tokenizer is of type '" + type + "'", where,
      "Known are ByteLevel, Metaspace, Split, Whitespace, WhitespaceSplit, BertPreTokenizer, Punctuation, Digits, CharDelimiterSplit and a Sequence of them");
}

const std::array<std::string, 256>& byte_letters() {
  static const std::array<std::string, 256> letters = [] {
    std::array<std::string, 256> out;
    char32_t next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE);
      append_utf8(out[static_cast<size_t>(byte)], printable ? static_cast<char32_t>(byte) : next++);
    }
    return out;
  }();
  return letters;
}

std::string bytes_of_letters(const std::string& letters) {
  static const std::map<std::string, char> bytes = [] {
    std::map<std::string, char> out;
    for (int byte = 0; byte < 256; ++byte) out[byte_letters()[static_cast<size_t>(byte)]] = static_cast<char>(byte);
    return out;
  }();
  std::string out;
  for (const char32_t code : decode_utf8(letters)) {
    std::string letter;
    append_utf8(letter, code);
    const auto found = bytes.find(letter);
    if (found == bytes.end())
      out += letter;
    else
      out += found->second;
  }
  return out;
}

}  // namespace glyphscope
