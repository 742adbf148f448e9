#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace glyphscope {

/// What was asked for and what was done, for those who must be able to show it later: a line of JSON each request, never changed after. Each line
/// ends in its own SHA-256, and holds that of the line before, so that no line can be changed, taken out or put in between without a trace; what is cut
/// off the end, or made anew from some line on with new hashes, is found by whoever kept the last hash.
class AuditLog {
 public:
  /// The file is made when the first line is written. Throws a Failure if it is there and its last line is not as it was written, or its folder is not there.
  explicit AuditLog(std::filesystem::path file);

  /// Adds a line of the entry, its "time" (UTC), "previous" and "hash", and syncs it. Other processes may write to the same file. Returns the line's hash.
  /// Throws a Failure; then nothing has been added.
  std::string append(nlohmann::ordered_json entry);

  /// Hash of the last line; of a log without lines: 64 zeros.
  std::string last() const;
  const std::filesystem::path& file() const { return file_; }

 private:
  std::filesystem::path file_;
};

/// What is wrong with a log, if anything.
struct AuditCheck {
  std::int64_t lines = 0;  ///< That are whole and in their place, from the first on.
  std::string last;        ///< Hash of the last of these; of none: 64 zeros.
  std::string fault;       ///< What is wrong with the line after them; empty: nothing.
};

/// expected_last: the hash that append() gave last, if someone kept it; empty: whatever the end is. Throws a Failure for a file that cannot be read.
AuditCheck check_audit_log(const std::filesystem::path& file, const std::string& expected_last = "");

}  // namespace glyphscope
