#include "io/mapped_files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <mutex>

#include "core/error.h"
#include "io/files.h"

namespace glyphscope {

namespace {

// Read by a signal handler, which may neither lock nor allocate.
struct Watched {
  std::atomic<std::uintptr_t> begin = 0, end = 0;
  std::atomic<bool> cut = false;
};
std::array<Watched, 4096> watched;
std::array<std::string, watched.size()> names;
std::mutex mutex;

// Linux tells by SIGBUS of a page that the file does not reach any more. An empty page takes its place, and the reader goes on.
void on_bus_error(int number, siginfo_t* info, void*) {
  const auto at = reinterpret_cast<std::uintptr_t>(info->si_addr);
  for (auto& one : watched) {
    if (at < one.begin.load() || at >= one.end.load()) continue;
    const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    void* start = reinterpret_cast<void*>(at / page * page);  // NOLINT(performance-no-int-to-ptr): it is the page of an address
    if (::mmap(start, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) break;
    one.cut = true;
    return;
  }
  std::signal(number, SIG_DFL);  // not ours: the instruction comes again, and ends the process
}

}  // namespace

void watch_mapped_file(const void* begin, std::uint64_t bytes, const std::string& name) {
  const std::lock_guard lock(mutex);
  static const bool once = [] {
    struct sigaction action {};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    return ::sigaction(SIGBUS, &action, nullptr) == 0;
  }();
  if (!once) return;
  for (size_t i = 0; i < watched.size(); ++i) {
    if (watched[i].begin.load() != 0) continue;
    names[i] = name;
    watched[i].cut = false;
    watched[i].end = reinterpret_cast<std::uintptr_t>(begin) + bytes;
    watched[i].begin = reinterpret_cast<std::uintptr_t>(begin);
    return;
  }
}

void forget_mapped_file(const void* begin) {
  const std::lock_guard lock(mutex);
  for (auto& one : watched)
    if (one.begin.load() == reinterpret_cast<std::uintptr_t>(begin)) one.begin = one.end = 0;
}

void check_mapped_files() {
  const std::lock_guard lock(mutex);
  for (size_t i = 0; i < watched.size(); ++i)
    if (watched[i].begin.load() != 0 && watched[i].cut.load())
      reject("the file was cut, or written over, while it was in use", names[i], "Get it again, and open the model anew");
}

MappedFile::MappedFile(std::filesystem::path path) : path_(std::move(path)) {
  const std::string where = path_.string();
  check_regular(path_);
  const int file = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) reject(std::string("cannot open: ") + std::strerror(errno), where);
  struct stat status {};
  if (::fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(file);
    reject("this is not a file", where);
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
  void* const data = size_ == 0 ? MAP_FAILED : ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
  const int error = errno;
  ::close(file);
  if (size_ == 0) return;
  if (data == MAP_FAILED && error == ENOMEM)
    throw Failure({ErrorCode::out_of_memory, "not enough memory to map " + std::to_string(size_) + " bytes", where,
                   "A limit on the program's address space (ulimit -v) must leave room for whole files"});
  if (data == MAP_FAILED) reject(std::string("cannot map into memory: ") + std::strerror(error), where);
  data_ = static_cast<char*>(data);
  watch_mapped_file(data_, size_, where);
}

MappedFile::~MappedFile() {
  if (!data_) return;
  forget_mapped_file(data_);
  ::munmap(data_, size_);
}

}  // namespace glyphscope
