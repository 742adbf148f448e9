#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace glyphscope {

/// UTF-8 to code points; each byte that is not part of valid UTF-8 becomes U+FFFD.
std::vector<char32_t> decode_utf8(std::string_view text);

/// Where the first byte is that is not part of valid UTF-8; npos if all are.
size_t first_invalid_utf8(std::string_view text);

void append_utf8(std::string& text, char32_t code);
std::string encode_utf8(const std::vector<char32_t>& codes);

/// The grapheme clusters of a text, what people take for a letter each, as views into it. Bytes that are not UTF-8 stand alone.
std::vector<std::string_view> graphemes(std::string_view text);

/// Unicode normalization form C.
std::string normalize_nfc(std::string_view text);

/// Unicode normalization form D.
std::string normalize_nfd(std::string_view text);

/// Lower case of one code point; one of them (U+0130) becomes two.
std::vector<char32_t> to_lower(char32_t code);

/// Lower case of a text, for comparing words without case.
std::string fold_case(std::string_view text);

bool is_letter(char32_t code);           ///< General category L
bool is_number(char32_t code);           ///< General category N
bool is_space(char32_t code);            ///< Property White_Space
bool is_punctuation(char32_t code);      ///< General category P
bool is_control(char32_t code);          ///< General categories Cc, Cf, Cs and Co; not unassigned ones
bool is_nonspacing_mark(char32_t code);  ///< General category Mn

}  // namespace glyphscope
