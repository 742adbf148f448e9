#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace glyphscope {

/// A text file as people write them, in UTF-8: captions, lists of words, of prompts, of terms. A byte-order mark, which Windows' editors put before it,
/// is no part of the text. Throws a Failure that names file, line and remedy for what is not UTF-8 (UTF-16, Latin-1) or no text at all.
std::string read_text_file(const std::filesystem::path& file, std::uintmax_t limit = 16u << 20);

/// The same of bytes that were read already; `where` names their file in errors.
std::string decoded_text(std::string bytes, const std::string& where);

/// Its lines, without line ends of any system's.
std::vector<std::string> read_lines(const std::filesystem::path& file, std::uintmax_t limit = 16u << 20);

}  // namespace glyphscope
