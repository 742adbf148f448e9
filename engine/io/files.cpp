#include "io/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>

#include "core/error.h"
#include "core/option.h"

namespace glyphscope {
namespace fs = std::filesystem;

namespace {

[[noreturn]] void fail_io(const std::string& what, const fs::path& path, int error) {
  std::string hint;
  if (error == ENOSPC || error == EDQUOT) hint = "The disk is full: free some space or choose another folder";
  if (error == EFBIG) hint = "Files may not grow so large here (ulimit -f): raise the limit, or write less";
  if (error == EACCES || error == EROFS || error == EPERM) hint = "The folder is not writable: choose another one";
  reject(what + ": " + std::strerror(error), path.string(), hint);
}

// Of this process, among those of all machines that write into one folder.
std::string own_name() {
  static const std::string token = [] {
    std::random_device random;
    char text[24];
    std::snprintf(text, sizeof text, "%x", random());
    return std::string(text);
  }();
  return std::to_string(::getpid()) + "-" + token;
}

void sync_path(const fs::path& path, int flags) {
  int file = ::open(path.c_str(), flags);
  if (file < 0) fail_io("cannot write", path, errno);
  int failed = ::fsync(file) != 0 ? errno : 0;
  ::close(file);
  if (failed && failed != EINVAL) fail_io("cannot write", path, failed);
}

}  // namespace

void write_atomically(const fs::path& path, const std::function<void(const fs::path&)>& writer) {
  fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  // The extension stays last: image writers choose the format by it.
  fs::path temporary = folder / ("." + path.stem().string() + "." + own_name() + ".part" + path.extension().string());
  try {
    writer(temporary);
    sync_path(temporary, O_RDONLY);
    if (::rename(temporary.c_str(), path.c_str()) != 0) fail_io("cannot write", path, errno);
    sync_path(folder, O_RDONLY | O_DIRECTORY);
  } catch (...) {
    std::error_code ignored;
    fs::remove(temporary, ignored);
    throw;
  }
}

void write_text(const fs::path& path, std::string_view text) {
  write_atomically(path, [&](const fs::path& temporary) {
    int file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (file < 0) fail_io("cannot write", path, errno);
    while (!text.empty()) {
      ssize_t written = ::write(file, text.data(), text.size());
      if (written < 0) {
        int error = errno;
        if (error == EINTR) continue;
        ::close(file);
        fail_io("cannot write", path, error);
      }
      text.remove_prefix(static_cast<size_t>(written));
    }
    if (::close(file) != 0) fail_io("cannot write", path, errno);
  });
}

void check_regular(const fs::path& path) {
  std::error_code error;
  const auto type = fs::status(path, error).type();
  if (type == fs::file_type::directory) reject("this is a folder, a file was expected", path.string());
  for (const auto& [kind, name] : {std::pair(fs::file_type::fifo, "a pipe"),
                                   {fs::file_type::character, "a device"},
                                   {fs::file_type::block, "a device"},
                                   {fs::file_type::socket, "a socket"}})
    if (type == kind) reject(std::string("this is ") + name + ", a file was expected", path.string());
}

void refuse_stand_in(const fs::path& path, std::string_view head, std::uintmax_t size) {
  const auto refuse = [&](const std::string& what, const std::string& hint) { reject(what, path.string(), hint); };
  if (head.starts_with("version https://git-lfs"))
    refuse("this is a Git LFS pointer of " + std::to_string(size) + " bytes, which stands for the file",
           "Run 'git lfs pull' in the repository, or download the file itself");
  const bool one_line = head.find('\n') == head.npos || head.find('\n') + 1 == head.size();
  if (size < 256 && one_line && (head.starts_with("../") || head.starts_with("./")))
    refuse("this holds the path of another file, '" + std::string(head.substr(0, head.find('\n'))) + "': a link that was copied as text",
           "Copy the folder with its links followed ('cp -rL'), or download it again");
  const std::string_view trimmed = head.substr(std::min(head.find_first_not_of(" \t\r\n"), head.size()));
  if (trimmed.starts_with("<!") || trimmed.starts_with("<html") || trimmed.starts_with("<HTML"))
    refuse("this is a web page, which stands in the place of the file", "Download the file itself; some want one to be logged in");
  const bool zip = head.starts_with("PK\x03\x04"), pickle = head.size() > 1 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5;
  if (zip || pickle)
    refuse("this is a pickle, which can run any code when it is read",
           "Convert it to safetensors where you trust it: in Python, load it with torch.load(..., weights_only=True) and save it with "
           "safetensors.torch.save_file");
}

std::string read_text(const fs::path& path, std::uintmax_t limit) {
  std::error_code error;
  check_regular(path);
  auto size = fs::file_size(path, error);
  if (error) reject("cannot read: " + error.message(), path.string());
  if (size > limit) reject("the file has " + std::to_string(size) + " bytes, at most " + std::to_string(limit) + " were expected", path.string());
  std::ifstream file(path, std::ios::binary);
  std::string text(size, '\0');
  if (!file.read(text.data(), static_cast<std::streamsize>(size))) reject(std::string("cannot read: ") + std::strerror(errno), path.string());
  return text;
}

std::string without_bare_infinities(const std::string& text) {
  std::string out;
  bool quoted = false;
  for (size_t at = 0; at < text.size(); ++at) {
    if (quoted && text[at] == '\\') {
      out += text.substr(at++, 2);
      continue;
    }
    if (text[at] == '"') quoted = !quoted;
    bool replaced = false;
    for (const std::string_view word : {"-Infinity", "Infinity", "NaN"}) {
      if (quoted || text.compare(at, word.size(), word) != 0) continue;
      out += '"' + std::string(word) + '"';
      at += word.size() - 1;
      replaced = true;
      break;
    }
    if (!replaced) out += text[at];
  }
  return out;
}

nlohmann::json read_json(const fs::path& path) {
  const std::string bytes = read_text(path), text = without_bare_infinities(bytes);
  refuse_stand_in(path, std::string_view(bytes).substr(0, 256), bytes.size());
  // nlohmann copies and prints recursively: a file of a million brackets would overflow the stack.
  constexpr int kDeepest = 64;
  auto limit_depth = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    if (depth > kDeepest) reject("the JSON is nested deeper than " + std::to_string(kDeepest) + " levels", path.string());
    return true;
  };
  try {
    return nlohmann::json::parse(text, limit_depth);
  } catch (const nlohmann::json::exception& error) {
    reject("malformed JSON: " + json_message(error), path.string());
  }
}

std::string json_text(const nlohmann::ordered_json& document, int indent) {
  return document.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

bool write_json_once(const fs::path& path, const nlohmann::ordered_json& document) {
  const fs::path whole = path.parent_path() / ("." + path.stem().string() + "." + own_name() + ".once" + path.extension().string());
  write_json(whole, document);
  // A link, unlike a renamed file, does not take the place of another.
  const int failed = ::link(whole.c_str(), path.c_str()) != 0 ? errno : 0;
  std::error_code ignored;
  fs::remove(whole, ignored);
  if (failed == EEXIST) return false;
  if (failed == 0) return true;
  if (fs::exists(path)) return false;  // of a file system without links
  write_json(path, document);
  return true;
}

void write_json(const fs::path& path, const nlohmann::ordered_json& document) { write_text(path, json_text(document, 2) + "\n"); }

namespace {

// The places in which two documents differ, a line each.
std::string differences(const nlohmann::json& there, const nlohmann::json& here) {
  constexpr size_t kMost = 4, kLongest = 60;
  const auto value = [](const nlohmann::json& document, const std::string& path) {
    const nlohmann::json::json_pointer place(path);
    if (!document.contains(place)) return std::string("nothing");
    const std::string text = json_text(document.at(place));
    return text.size() > kLongest ? text.substr(0, kLongest) + "..." : text;
  };
  std::string out;
  size_t count = 0;
  for (const auto& step : nlohmann::json::diff(there, here)) {
    if (++count > kMost) return out + "\n  ...";
    const std::string path = step.at("path");
    out += "\n  " + (path.empty() ? "all of it" : path.substr(1)) + ": " + value(there, path) + " there, " + value(here, path) + " here";
  }
  return out;
}

}  // namespace

void claim_folder(const std::filesystem::path& file, const nlohmann::ordered_json& document, const std::string& refusal) {
  if (!std::filesystem::exists(file)) {
    std::filesystem::create_directories(file.parent_path());
    write_json(file, document);
    return;
  }
  nlohmann::json kept = read_json(file);
  if (kept.is_object() && document.contains("device") && !kept.contains("device")) kept["device"] = "cpu";  // when there was no other, none was named
  if (const std::string differs = differences(kept, nlohmann::json(document)); !differs.empty()) {
    reject(refusal + ":" + differs + "\n", file.parent_path().string(),
           "Choose another " + option(Option::out) + ", or repeat the settings in its " + file.filename().string());
  }
}

std::string ending_of(const fs::path& file) {
  std::string out = file.extension().string();
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

void check_output_file(const fs::path& file, const std::string& ending, const std::vector<fs::path>& inputs) {
  if (ending_of(file) != ending)
    reject("what is written is a " + ending + " file, and the name says otherwise", file.string(), "Choose a name that ends in " + ending);
  std::error_code error;
  check_regular(file);
  const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
  if (!fs::is_directory(folder, error)) reject("there is no such folder to write into", folder.string());
  if (::access(folder.c_str(), W_OK) != 0) fail_io("cannot write into the folder", folder, errno);
  for (const auto& input : inputs)
    if (!input.empty() && fs::equivalent(file, input, error)) reject("this would be written over", input.string(), "Choose another " + option(Option::out));
}

OutputFolder::OutputFolder(fs::path folder) : folder_(std::move(folder)) {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) fail_io("cannot create the output folder", folder_, error.value());
  fs::path lock = folder_ / ".glyphscope.lock";
  lock_ = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_ < 0) fail_io("cannot write to the output folder", folder_, errno);
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    ::close(lock_);
    reject("another Glyphscope is writing to this folder", folder_.string(), "Wait for it, or choose another output folder");
  }
}

OutputFolder::OutputFolder(OutputFolder&& other) noexcept : folder_(std::move(other.folder_)), lock_(std::exchange(other.lock_, -1)) {}

void OutputFolder::spare(const fs::path& input, const std::vector<std::string>& names) const {
  for (const auto& name : names)
    if (std::error_code error; fs::equivalent(folder_ / name, input, error))
      reject("this would be written over", input.string(), "Choose another " + option(Option::out));
}

OutputFolder::~OutputFolder() {
  if (lock_ < 0) return;
  ::close(lock_);  // the file stays: a process that waits to lock it must not be left with one that is gone
}

}  // namespace glyphscope
