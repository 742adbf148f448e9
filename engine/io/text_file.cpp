#include "io/text_file.h"

#include <unicode/ustring.h>

#include <algorithm>
#include <sstream>

#include "core/error.h"
#include "core/unicode.h"
#include "io/files.h"

namespace glyphscope {

namespace {

constexpr const char* kRemedy = "Save it as UTF-8: most editors ask for the encoding under Save As; or run iconv -t UTF-8";

// Every line ends in a line feed, as on Windows and on old Macs it does not, and begins without a byte-order mark, which files that were put together have
// within.
std::string with_plain_lines(const std::string& text) {
  constexpr std::string_view kMark = "\xEF\xBB\xBF";
  std::string out;
  for (size_t at = 0; at < text.size();) {
    if ((out.empty() || out.back() == '\n') && text.compare(at, kMark.size(), kMark) == 0) {
      at += kMark.size();
      continue;
    }
    const bool carriage = text[at] == '\r';
    out += carriage ? '\n' : text[at];
    at += carriage && at + 1 < text.size() && text[at + 1] == '\n' ? 2 : 1;
  }
  return out;
}

// Of UTF-16 that begins with its byte-order mark, as Windows' editors write it under the name "Unicode".
std::string utf8_of_utf16(const std::string& bytes, const std::string& where) {
  const bool big = bytes.starts_with("\xFE\xFF");
  std::vector<UChar> units;
  for (size_t at = 2; at + 1 < bytes.size(); at += 2) {
    const auto first = static_cast<unsigned char>(bytes[at]), second = static_cast<unsigned char>(bytes[at + 1]);
    units.push_back(static_cast<UChar>(big ? first << 8 | second : second << 8 | first));
  }
  std::string out(units.size() * 3, '\0');
  UErrorCode error = U_ZERO_ERROR;
  std::int32_t size = 0;
  u_strToUTF8(out.data(), static_cast<std::int32_t>(out.size()), &size, units.data(), static_cast<std::int32_t>(units.size()), &error);
  if (U_FAILURE(error) || bytes.size() % 2 != 0) reject("the text begins as UTF-16 and is damaged", where, kRemedy);
  out.resize(static_cast<size_t>(size));
  return out;
}

}  // namespace

std::string decoded_text(std::string bytes, const std::string& where) {
  if (bytes.starts_with("\xFF\xFE") || bytes.starts_with("\xFE\xFF")) bytes = utf8_of_utf16(bytes, where);
  const auto line_of = [&](size_t at) {
    return ", line " + std::to_string(1 + std::count(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
  };
  if (const size_t zero = bytes.find('\0'); zero != std::string::npos)
    reject("there is a zero byte in it: this is no text in UTF-8", where + line_of(zero), kRemedy);
  if (const size_t wrong = first_invalid_utf8(bytes); wrong != std::string::npos) reject("the text is not in UTF-8", where + line_of(wrong), kRemedy);
  return with_plain_lines(bytes);
}

std::string read_text_file(const std::filesystem::path& file, std::uintmax_t limit) { return decoded_text(read_text(file, limit), file.string()); }

std::vector<std::string> read_lines(const std::filesystem::path& file, std::uintmax_t limit) {
  std::istringstream text(read_text_file(file, limit));
  std::vector<std::string> out;
  for (std::string line; std::getline(text, line);) out.push_back(std::move(line));
  return out;
}

std::string trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const size_t first = text.find_first_not_of(kBlanks);
  return first == std::string_view::npos ? "" : std::string(text.substr(first, text.find_last_not_of(kBlanks) - first + 1));
}

}  // namespace glyphscope
