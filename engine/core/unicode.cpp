#include "core/unicode.h"

#include <utf8proc.h>

#include <cstdlib>

namespace glyphscope {

std::vector<char32_t> decode_utf8(std::string_view text) {
  std::vector<char32_t> codes;
  const auto* data = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  for (size_t at = 0; at < text.size();) {
    utf8proc_int32_t code = 0;
    const utf8proc_ssize_t used = utf8proc_iterate(data + at, static_cast<utf8proc_ssize_t>(text.size() - at), &code);
    codes.push_back(used > 0 ? static_cast<char32_t>(code) : U'\uFFFD');
    at += used > 0 ? static_cast<size_t>(used) : 1;
  }
  return codes;
}

size_t first_invalid_utf8(std::string_view text) {
  const auto* data = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  for (size_t at = 0; at < text.size();) {
    utf8proc_int32_t code = 0;
    const utf8proc_ssize_t used = utf8proc_iterate(data + at, static_cast<utf8proc_ssize_t>(text.size() - at), &code);
    if (used <= 0) return at;
    at += static_cast<size_t>(used);
  }
  return std::string_view::npos;
}

void append_utf8(std::string& text, char32_t code) {
  utf8proc_uint8_t bytes[4];
  const auto used = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code), bytes);
  text.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(used));
}

std::string encode_utf8(const std::vector<char32_t>& codes) {
  std::string text;
  for (char32_t code : codes) append_utf8(text, code);
  return text;
}

std::vector<std::string_view> graphemes(std::string_view text) {
  std::vector<std::string_view> out;
  const auto* data = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  utf8proc_int32_t before = 0, state = 0;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    utf8proc_int32_t code = 0;
    const utf8proc_ssize_t used = utf8proc_iterate(data + at, static_cast<utf8proc_ssize_t>(text.size() - at), &code);
    if (used <= 0) code = 0xFFFD;
    if (at > 0 && utf8proc_grapheme_break_stateful(before, code, &state)) {
      out.push_back(text.substr(begin, at - begin));
      begin = at;
    }
    before = code;
    at += used > 0 ? static_cast<size_t>(used) : 1;
  }
  if (begin < text.size()) out.push_back(text.substr(begin));
  return out;
}

namespace {

std::string normalize(std::string_view text, int form) {
  std::string valid = encode_utf8(decode_utf8(text));
  utf8proc_uint8_t* mapped = nullptr;
  const auto size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(valid.data()), static_cast<utf8proc_ssize_t>(valid.size()), &mapped,
                                 static_cast<utf8proc_option_t>(UTF8PROC_STABLE | form));
  if (size < 0) return valid;
  std::string out(reinterpret_cast<char*>(mapped), static_cast<size_t>(size));
  std::free(mapped);
  return out;
}

}  // namespace

std::string normalize_nfc(std::string_view text) { return normalize(text, UTF8PROC_COMPOSE); }
std::string normalize_nfd(std::string_view text) { return normalize(text, UTF8PROC_DECOMPOSE); }

std::vector<char32_t> to_lower(char32_t code) {
  if (code == U'\u0130') return {U'i', U'\u0307'};
  return {static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code)))};
}

std::string fold_case(std::string_view text) {
  std::string out;
  for (char32_t code : decode_utf8(text))
    for (char32_t lower : to_lower(code)) append_utf8(out, lower);
  return out;
}

namespace {
bool in_category(char32_t code, utf8proc_category_t first, utf8proc_category_t last) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(code));
  return category >= first && category <= last;
}
}  // namespace

bool is_letter(char32_t code) { return in_category(code, UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_LO); }
bool is_number(char32_t code) { return in_category(code, UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_NO); }
bool is_punctuation(char32_t code) { return in_category(code, UTF8PROC_CATEGORY_PC, UTF8PROC_CATEGORY_PO); }
bool is_control(char32_t code) { return in_category(code, UTF8PROC_CATEGORY_CC, UTF8PROC_CATEGORY_CO); }
bool is_nonspacing_mark(char32_t code) { return in_category(code, UTF8PROC_CATEGORY_MN, UTF8PROC_CATEGORY_MN); }
bool is_space(char32_t code) { return (code >= 9 && code <= 13) || code == 0x85 || in_category(code, UTF8PROC_CATEGORY_ZS, UTF8PROC_CATEGORY_ZP); }

}  // namespace glyphscope
