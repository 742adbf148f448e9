#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace glyphscope {

/// Writes a file so that `path` holds either what it held before or all of the new content: the writer gets a temporary
/// path in the same folder, which is synced and renamed when it returns. Throws a Failure that names the path.
void write_atomically(const std::filesystem::path& path, const std::function<void(const std::filesystem::path& temporary)>& writer);

/// write_atomically of a text.
void write_text(const std::filesystem::path& path, std::string_view text);

/// Throws a Failure for a pipe, a device or a socket, which would be waited for without end. What is not there passes.
void check_regular(const std::filesystem::path& path);

/// Throws a Failure if a file that begins so is something that people have in its place: a Git LFS pointer, a link that was copied as text, a web page, a
/// pickle or a zip archive of one. head: its first 256 bytes, or all of a shorter one.
void refuse_stand_in(const std::filesystem::path& path, std::string_view head, std::uintmax_t size);

/// The whole file as bytes. Throws a Failure that names the path; a file over `limit` bytes is refused.
std::string read_text(const std::filesystem::path& path, std::uintmax_t limit = 256u << 20);

/// JSON as Python writes it (diffusers' scheduler configurations hold such): -Infinity, Infinity and NaN, which JSON does not know, become texts, so that
/// whoever asks for a number says that this is none.
std::string without_bare_infinities(const std::string& text);

/// Parses a JSON file; errors name the file and the place in it.
nlohmann::json read_json(const std::filesystem::path& path);

/// Runs `body`, which takes a JSON file's values: where one is of another type than is asked for, throws a Failure that names file and place.
template <class Body>
auto reading_json(const std::filesystem::path& file, Body&& body) {
  try {
    return body();
  } catch (const nlohmann::json::exception& error) {
    reject("the JSON holds another thing than was expected: " + json_message(error), file.string());
  }
}

/// A document as text; bytes that are no UTF-8 (a prompt may hold any) become U+FFFD. A negative indent: on one line.
std::string json_text(const nlohmann::ordered_json& document, int indent = -1);

/// write_atomically of a JSON document, indented by two.
void write_json(const std::filesystem::path& path, const nlohmann::ordered_json& document);

/// write_json, if there is no such file yet, whoever else writes it now. False: there is one, which is left as it is.
bool write_json_once(const std::filesystem::path& path, const nlohmann::ordered_json& document);

/// Writes what a folder's results depend on into `file`, so that a run with other settings stays out of it: if the file is there and says
/// something else, throws a Failure with `refusal` and what differs.
void claim_folder(const std::filesystem::path& file, const nlohmann::ordered_json& document, const std::string& refusal);

/// How a file's name ends, in small letters: ".png" of "A.PNG".
std::string ending_of(const std::filesystem::path& file);

/// Whether a file can be written under this name, before the hours that make what is written: throws a Failure if its ending is another than the kind
/// that is written (".png"), it is a folder, its folder is not there or not writable, or it is one of the inputs, which would be written over.
void check_output_file(const std::filesystem::path& file, const std::string& ending, const std::vector<std::filesystem::path>& inputs);

/// Creates the folder if need be, and holds a lock file in it as long as the object lives. A second process that asks
/// for the same folder gets a Failure that says so.
class OutputFolder {
 public:
  explicit OutputFolder(std::filesystem::path folder);
  ~OutputFolder();
  OutputFolder(OutputFolder&& other) noexcept;
  OutputFolder& operator=(OutputFolder&&) = delete;

  const std::filesystem::path& path() const { return folder_; }
  std::filesystem::path operator/(const std::string& name) const { return folder_ / name; }
  /// Throws a Failure if one of these names in the folder is the input file, which would be written over.
  void spare(const std::filesystem::path& input, const std::vector<std::string>& names) const;

 private:
  std::filesystem::path folder_;
  int lock_ = -1;
};

}  // namespace glyphscope
