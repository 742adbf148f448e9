#include "io/archive.h"

#include <zip.h>

#include <algorithm>
#include <memory>
#include <set>
#include <vector>

#include "core/error.h"
#include "io/files.h"

namespace glyphscope {
namespace fs = std::filesystem;

namespace {

using Zip = std::unique_ptr<zip_t, void (*)(zip_t*)>;

std::string megabytes(std::uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

// A name that stays inside, written as we write them.
bool stays_inside(const std::string& name) {
  if (name.empty() || name.front() == '/' || name.find('\\') != std::string::npos || name.find('\0') != std::string::npos) return false;
  for (const auto& part : fs::path(name))
    if (part == ".." || part == ".") return false;
  return true;
}

class Budget {
 public:
  Budget(const fs::path& path, const ArchiveLimits& limits) : path_(path), limits_(limits) {}
  void take(const std::string& name, std::uint64_t bytes) {
    if (++files_ > limits_.files) reject("it has more than " + std::to_string(limits_.files) + " files", path_.string());
    if (bytes > limits_.file_bytes) reject("a file in it is larger than " + megabytes(limits_.file_bytes) + ": " + name, path_.string());
    bytes_ += bytes;
    if (bytes_ > limits_.bytes) reject("it holds more than " + megabytes(limits_.bytes), path_.string());
  }

 private:
  const fs::path& path_;
  const ArchiveLimits& limits_;
  std::uint64_t files_ = 0, bytes_ = 0;
};

ArchiveFiles read_folder(const fs::path& path, const ArchiveLimits& limits) {
  ArchiveFiles out;
  Budget budget(path, limits);
  for (auto one = fs::recursive_directory_iterator(path); one != fs::recursive_directory_iterator(); ++one) {
    const std::string name = one->path().lexically_relative(path).generic_string();
    if (one->path().filename().string().starts_with('.')) {
      if (one->is_directory()) one.disable_recursion_pending();
      continue;
    }
    if (one->is_symlink()) reject("it holds a link, which may lead anywhere: " + name, path.string());
    if (!one->is_regular_file()) continue;
    budget.take(name, one->file_size());
    out[name] = read_text(one->path(), limits.file_bytes);
  }
  return out;
}

std::string read_entry(zip_t* zip, zip_uint64_t index, const std::string& name, std::uint64_t size, const fs::path& path) {
  const std::unique_ptr<zip_file_t, void (*)(zip_file_t*)> file(zip_fopen_index(zip, index, 0), [](zip_file_t* one) { zip_fclose(one); });
  if (!file) reject("a file in it cannot be read: " + name + " (" + zip_strerror(zip) + ")", path.string());
  // As it comes: what it says of its size may be made up.
  constexpr std::uint64_t kPiece = 1 << 20;
  std::string out;
  while (out.size() < size) {
    const std::uint64_t done = out.size(), piece = std::min(kPiece, size - done);
    out.resize(done + piece);
    const zip_int64_t read = zip_fread(file.get(), out.data() + done, piece);
    if (read <= 0) reject("a file in it is damaged: " + name, path.string());
    out.resize(done + static_cast<std::uint64_t>(read));
  }
  // One more byte shows that it is longer than it says; at the end libzip compares its checksum.
  char more = 0;
  if (zip_fread(file.get(), &more, 1) != 0) reject("a file in it is damaged: " + name, path.string());
  return out;
}

}  // namespace

ArchiveFiles read_archive(const fs::path& path, const ArchiveLimits& limits) {
  std::error_code error;
  if (!fs::exists(path, error)) reject("there is no such file or folder", path.string());
  if (fs::is_directory(path, error)) return read_folder(path, limits);
  check_regular(path);
  int code = 0;
  const Zip zip(zip_open(path.c_str(), ZIP_RDONLY | ZIP_CHECKCONS, &code), [](zip_t* one) { zip_discard(one); });
  if (!zip) {
    zip_error_t why;
    zip_error_init_with_code(&why, code);
    const std::string text = zip_error_strerror(&why);
    zip_error_fini(&why);
    reject("it is no zip archive, or it is cut off or damaged (" + text + ")", path.string());
  }
  ArchiveFiles out;
  Budget budget(path, limits);
  const zip_int64_t count = zip_get_num_entries(zip.get(), 0);
  for (zip_uint64_t i = 0; i < static_cast<zip_uint64_t>(count); ++i) {
    zip_stat_t stat;
    zip_stat_init(&stat);
    if (zip_stat_index(zip.get(), i, 0, &stat) != 0 || !(stat.valid & ZIP_STAT_NAME) || !(stat.valid & ZIP_STAT_SIZE))
      reject("its list of files is damaged", path.string());
    const std::string name = stat.name;
    if (!stays_inside(name)) reject("a file in it would lie outside of it: " + name, path.string());
    if (name.back() == '/') continue;
    if ((stat.valid & ZIP_STAT_ENCRYPTION_METHOD) && stat.encryption_method != ZIP_EM_NONE) reject("a file in it is encrypted: " + name, path.string());
    budget.take(name, stat.size);
    if (!out.emplace(name, read_entry(zip.get(), i, name, stat.size, path)).second) reject("it has two files of one name: " + name, path.string());
  }
  return out;
}

namespace {

void write_folder(const fs::path& path, const ArchiveFiles& files, const std::string& last) {
  std::set<fs::path> folders;
  for (const auto& [name, bytes] : files) {
    const fs::path file = path / name;
    fs::create_directories(file.parent_path());
    if (fs::path(name).has_parent_path()) folders.insert(file.parent_path());
    if (name != last) write_text(file, bytes);
  }
  if (const auto found = files.find(last); found != files.end()) write_text(path / last, found->second);
  // Of an earlier writing; once what counts no longer speaks of it.
  for (const fs::path& folder : folders)
    for (const auto& one : fs::directory_iterator(folder))
      if (one.is_regular_file() && !files.contains(one.path().lexically_relative(path).generic_string())) fs::remove(one.path());
}

// A zip archive in memory, so that it is written as all other files are. Throws a Failure.
std::string zipped(const ArchiveFiles& files, const fs::path& path) {
  zip_error_t why;
  zip_error_init(&why);
  zip_source_t* into = zip_source_buffer_create(nullptr, 0, 0, &why);
  if (!into) throw Failure({ErrorCode::out_of_memory, "not enough memory for the archive", path.string(), ""});
  zip_source_keep(into);
  const std::unique_ptr<zip_source_t, void (*)(zip_source_t*)> keep(into, [](zip_source_t* one) { zip_source_free(one); });
  Zip zip(zip_open_from_source(into, ZIP_TRUNCATE, &why), [](zip_t* one) { zip_discard(one); });
  if (!zip) {
    zip_source_free(into);
    reject(std::string("the archive cannot be made: ") + zip_error_strerror(&why), path.string());
  }
  for (const auto& [name, bytes] : files) {
    zip_source_t* source = zip_source_buffer(zip.get(), bytes.data(), bytes.size(), 0);
    const zip_int64_t index = source ? zip_file_add(zip.get(), name.c_str(), source, ZIP_FL_ENC_UTF_8) : -1;
    if (index < 0) {
      if (source) zip_source_free(source);
      reject(std::string("the archive cannot be made: ") + zip_strerror(zip.get()), path.string());
    }
    // A picture is as small as it gets; and two archives of the same files are the same.
    zip_set_file_compression(zip.get(), static_cast<zip_uint64_t>(index), name.ends_with(".png") ? ZIP_CM_STORE : ZIP_CM_DEFLATE, 0);
    zip_file_set_mtime(zip.get(), static_cast<zip_uint64_t>(index), 315'619'200, 0);  // 1980: the earliest that a zip archive knows
  }
  if (zip_close(zip.get()) != 0) reject(std::string("the archive cannot be made: ") + zip_strerror(zip.get()), path.string());
  static_cast<void>(zip.release());
  zip_stat_t stat;
  zip_stat_init(&stat);
  if (zip_source_open(into) != 0 || zip_source_stat(into, &stat) != 0) reject("the archive cannot be made", path.string());
  std::string out(stat.size, '\0');
  const zip_int64_t read = zip_source_read(into, out.data(), out.size());
  zip_source_close(into);
  if (read != static_cast<zip_int64_t>(out.size())) reject("the archive cannot be made", path.string());
  return out;
}

}  // namespace

void write_archive(const fs::path& path, const ArchiveFiles& files, const std::string& last) {
  std::error_code error;
  if (fs::is_directory(path, error)) return write_folder(path, files, last);
  write_text(path, zipped(files, path));
}

}  // namespace glyphscope
