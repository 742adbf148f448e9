#include "io/text_file.h"

#include <algorithm>
#include <sstream>

#include "core/error.h"
#include "core/unicode.h"
#include "io/files.h"

namespace glyphscope {

namespace {

constexpr const char* kRemedy = "Save it as UTF-8: most editors ask for the encoding under Save As; or run iconv -t UTF-8";

}  // namespace

std::string decoded_text(std::string bytes, const std::string& where) {
  if (bytes.starts_with("\xFF\xFE") || bytes.starts_with("\xFE\xFF")) reject("the text is in UTF-16, not in UTF-8", where, kRemedy);
  if (bytes.starts_with("\xEF\xBB\xBF")) bytes.erase(0, 3);
  const auto line_of = [&](size_t at) {
    return ", line " + std::to_string(1 + std::count(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
  };
  if (const size_t zero = bytes.find('\0'); zero != std::string::npos)
    reject("there is a zero byte in it: this is no text in UTF-8", where + line_of(zero), kRemedy);
  if (const size_t wrong = first_invalid_utf8(bytes); wrong != std::string::npos) reject("the text is not in UTF-8", where + line_of(wrong), kRemedy);
  return bytes;
}

std::string read_text_file(const std::filesystem::path& file, std::uintmax_t limit) { return decoded_text(read_text(file, limit), file.string()); }

std::vector<std::string> read_lines(const std::filesystem::path& file, std::uintmax_t limit) {
  std::istringstream text(read_text_file(file, limit));
  std::vector<std::string> out;
  for (std::string line; std::getline(text, line);) {
    if (line.ends_with('\r')) line.pop_back();
    out.push_back(std::move(line));
  }
  return out;
}

}  // namespace glyphscope
