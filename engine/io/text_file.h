#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace glyphscope {

/// A text file as people write them: captions, lists of words, of prompts, of terms; in UTF-8, or in UTF-16 with its byte-order mark. The mark, which
/// Windows' editors put before UTF-8 too, is no part of the text. Throws a Failure that names file, line and remedy for other encodings (Latin-1) and for
/// what is no text at all.
std::string read_text_file(const std::filesystem::path& file, std::uintmax_t limit = 16u << 20);

/// The same of bytes that were read already; `where` names their file in errors.
std::string decoded_text(std::string bytes, const std::string& where);

/// Its lines, without line ends of any system's.
std::vector<std::string> read_lines(const std::filesystem::path& file, std::uintmax_t limit = 16u << 20);

/// A text without the blanks and line ends about it.
std::string trimmed(std::string_view text);

}  // namespace glyphscope
