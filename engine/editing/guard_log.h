#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "editing/audit_log.h"

namespace glyphscope {

/// One image of the log that a Guard writes. A text is its SHA-256 where the log names no clear text.
struct GuardLogRow {
  std::int64_t line = 0;  ///< Of the file, from 1: a request.
  std::string time, model, prompt;
  std::vector<std::string> matched;     ///< Terms in what was asked for.
  std::string done;                     ///< What made the image: "as asked", a way of the guard, or "withheld".
  std::string read;                     ///< What OCR read in it.
  std::vector<std::string> terms_read;  ///< Terms in it.
  std::uint64_t seed = 0;
  std::string image_sha256;
};

struct GuardLog {
  AuditCheck check;
  std::vector<GuardLogRow> rows;  ///< Of the lines that are whole and in their place.
};

/// Reads and checks a log. expected_last: as check_audit_log() has it. Throws a Failure for a file that cannot be read.
GuardLog read_guard_log(const std::filesystem::path& file, const std::string& expected_last = "");

/// A line an image, with a head.
std::string guard_log_csv(const std::vector<GuardLogRow>& rows);

}  // namespace glyphscope
