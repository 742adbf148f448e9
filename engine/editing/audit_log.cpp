#include "editing/audit_log.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <limits>

#include "core/error.h"
#include "core/option.h"
#include "io/files.h"
#include "io/json.h"
#include "io/weights.h"

namespace glyphscope {

namespace {

const std::string kNone(64, '0'), kHash = ",\"hash\":\"", kEnd = "\"}";

// The hash that a line ends in; empty if it is not that of the rest, which it was written with.
std::string hash_of(const std::string& line) {
  const size_t size = kHash.size() + kNone.size() + kEnd.size();
  if (line.size() < size || !line.ends_with(kEnd) || line.compare(line.size() - size, kHash.size(), kHash) != 0) return {};
  std::string hash = line.substr(line.size() - size + kHash.size(), kNone.size());
  return hash == sha256_text(line.substr(0, line.size() - size) + "}") ? hash : std::string();
}

enum class Use { read, append };

// An open file that is locked until it goes: against other writers, and where it is written, against readers, who would see half a line.
class LockedFile {
 public:
  LockedFile(const std::filesystem::path& path, Use use)
      : path_(checked(path)), file_(::open(path.c_str(), (use == Use::read ? O_RDONLY : O_RDWR | O_CREAT | O_APPEND) | O_CLOEXEC, 0644)) {
    if (file_ < 0) fail("the log cannot be opened");
    if (::flock(file_, use == Use::read ? LOCK_SH : LOCK_EX) == 0) return;
    const int error = errno;
    ::close(file_);
    errno = error;
    fail("the log cannot be locked");
  }
  ~LockedFile() { ::close(file_); }
  LockedFile(const LockedFile&) = delete;
  LockedFile& operator=(const LockedFile&) = delete;

  off_t size() const {
    struct stat about {};
    if (::fstat(file_, &about) != 0) fail("the log cannot be read");
    return about.st_size;
  }
  // The last line without its end; empty if there is none.
  std::string last_line() const {
    // From the end, each time twice as much, so that all that is read is at most twice the line.
    const off_t end = size();
    std::string tail;
    for (off_t much = 4096; tail.size() < static_cast<size_t>(end); much *= 2) {
      tail.resize(static_cast<size_t>(std::min(much, end)));
      const off_t from = end - static_cast<off_t>(tail.size());
      if (::pread(file_, tail.data(), tail.size(), from) != static_cast<ssize_t>(tail.size())) fail("the log cannot be read");
      if (tail.size() > 1 && tail.rfind('\n', tail.size() - 2) != std::string::npos) break;
    }
    if (tail.empty()) return {};
    if (tail.back() != '\n') reject("the last line of the log is not whole", path_.string(), "Look at it, take the torn line out, and say so in a new log");
    tail.pop_back();
    const size_t before = tail.rfind('\n');
    return before == std::string::npos ? tail : tail.substr(before + 1);
  }
  void append(const std::string& line) {
    const off_t before = size();
    const bool written = ::write(file_, line.data(), line.size()) == static_cast<ssize_t>(line.size()) && ::fsync(file_) == 0;
    if (written) return;
    const int error = errno;
    // Half a line would damage the log.
    if (::ftruncate(file_, before) != 0) reject("half a line was written to the log, and cannot be taken back", path_.string());
    errno = error;
    fail("the log cannot be written");
  }

 private:
  // A pipe would be waited for without end, a device written to without a trace.
  static const std::filesystem::path& checked(const std::filesystem::path& path) {
    check_regular(path);
    return path;
  }
  [[noreturn]] void fail(const std::string& what) const { reject(what + ": " + std::strerror(errno), path_.string()); }
  std::filesystem::path path_;
  int file_;
};

std::string now() {
  const std::time_t seconds = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

// Of the line before the next.
std::string last_hash(const LockedFile& log, const std::filesystem::path& file) {
  if (log.size() == 0) return kNone;
  const std::string line = log.last_line();
  std::string hash = hash_of(line);
  if (hash.empty())
    reject("the log's last line is not as it was written", file.string(), "Look at it with " + option(Option::verify_log) + ", and begin a new log");
  return hash;
}

}  // namespace

AuditLog::AuditLog(std::filesystem::path file) : file_(std::move(file)) {
  (void)last();
  const auto folder = file_.parent_path();
  if (!folder.empty() && !std::filesystem::is_directory(folder)) reject("there is no folder for the log", file_.string(), "Make the folder, or choose another");
}

std::string AuditLog::last() const { return std::filesystem::exists(file_) ? last_hash(LockedFile(file_, Use::append), file_) : kNone; }

std::string AuditLog::append(nlohmann::ordered_json entry) {
  LockedFile log(file_, Use::append);
  nlohmann::ordered_json line{{"time", now()}, {"previous", last_hash(log, file_)}};
  if (!entry.is_object()) entry = nlohmann::ordered_json::object();
  for (const char* own : {"time", "previous", "hash"}) entry = without_key(entry, own);
  add_keys(line, entry);
  std::string text = json_text(line);
  std::string hash = sha256_text(text);
  text.pop_back();
  log.append(text + kHash + hash + kEnd + "\n");
  return hash;
}

AuditCheck check_audit_log(const std::filesystem::path& file, const std::string& expected_last) {
  const std::string text = [&] {
    const LockedFile lock(file, Use::read);
    return read_text(file, std::numeric_limits<std::uintmax_t>::max());
  }();
  AuditCheck out{0, kNone, ""};
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    if (end == std::string::npos) {
      out.fault = "the line is not whole";
      return out;
    }
    const std::string line = text.substr(at, end - at);
    const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("previous") || !json["previous"].is_string()) {
      out.fault = "this is no entry of a log";
      return out;
    }
    std::string hash = hash_of(line);
    if (hash.empty()) {
      out.fault = "the line was changed: its hash is of another";
      return out;
    }
    if (json["previous"].get<std::string>() != out.last) {
      out.fault = out.lines == 0 ? "lines before it are missing" : "it does not follow the line before: lines between are missing, or were put in or moved";
      return out;
    }
    out.last = hash;
    ++out.lines;
    at = end + 1;
  }
  if (!expected_last.empty() && expected_last != out.last)
    out.fault = "the log ends otherwise than expected: lines are missing, were added, or the last was changed";
  return out;
}

}  // namespace glyphscope
