#include "io/mapped_files.h"

#include <sys/mman.h>
#include <unistd.h>
#include <csignal>

#include <array>
#include <atomic>
#include <mutex>

#include "core/error.h"

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
    void* start = reinterpret_cast<void*>(at / page * page);
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

}  // namespace glyphscope
