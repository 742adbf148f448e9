#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace glyphscope {

/// Files that lie in memory. One that is cut by someone else while it does would end the process when its lost part is read; instead that part reads as
/// zeros, and the file is remembered.
void watch_mapped_file(const void* begin, std::uint64_t bytes, const std::string& name);
void forget_mapped_file(const void* begin);

/// Throws a Failure that names a watched file which has turned out to be cut. To be called after reading, before what was read is used.
void check_mapped_files();

/// A file in memory, read where it is used; what is written there is never written to the file. Watched while it lives.
class MappedFile {
 public:
  /// Throws a Failure that names the file for what cannot be opened or mapped.
  explicit MappedFile(std::filesystem::path path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  char* data() const { return data_; }  ///< Null of an empty file.
  std::uint64_t size() const { return size_; }

 private:
  std::filesystem::path path_;
  char* data_ = nullptr;
  std::uint64_t size_ = 0;
};

}  // namespace glyphscope
