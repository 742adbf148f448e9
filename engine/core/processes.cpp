#include "core/processes.h"

#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <limits>
#include <string>
#include <system_error>
#include <thread>

#include "core/error.h"
#include "core/mpi_library.h"

namespace glyphscope {

namespace {

constexpr const char* kHint = "Go on with the training that is saved";

struct Library {
  GlyphscopeMpiStart start = nullptr;
  GlyphscopeMpiBegin begin_reduce = nullptr, begin_broadcast = nullptr;
  GlyphscopeMpiTest test = nullptr;
  GlyphscopeMpiEnd end = nullptr;
};

// Throws a Failure where it is not there.
const Library& library() {
  static const Library opened = [] {
    std::error_code error;
    const auto file = std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / "libglyphscope_mpi.so";
    if (!std::filesystem::exists(file))
      reject("this program was built without MPI", file.string(), "Install libopenmpi-dev and openmpi-bin, and build it again");
    // MPI's own plug-ins look for its symbols among the program's.
    void* const handle = ::dlopen(file.c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (!handle) reject(std::string("MPI cannot be opened: ") + ::dlerror(), file.string(), "Install openmpi-bin");
    const auto find = [&](const char* name) { return ::dlsym(handle, name); };
    return Library{reinterpret_cast<GlyphscopeMpiStart>(find("glyphscope_mpi_start")),
                   reinterpret_cast<GlyphscopeMpiBegin>(find("glyphscope_mpi_begin_reduce")),
                   reinterpret_cast<GlyphscopeMpiBegin>(find("glyphscope_mpi_begin_broadcast")),
                   reinterpret_cast<GlyphscopeMpiTest>(find("glyphscope_mpi_test")), reinterpret_cast<GlyphscopeMpiEnd>(find("glyphscope_mpi_end"))};
  }();
  return opened;
}

void check(const char* wrong) {
  if (wrong) reject(std::string("a process of the training is lost: ") + wrong, "MPI", kHint);
}

}  // namespace

std::unique_ptr<MpiProcesses> MpiProcesses::join() {
  const Library& mpi = library();
  std::unique_ptr<MpiProcesses> out(new MpiProcesses);
  if (const char* wrong = mpi.start(&out->rank_, &out->size_, &out->local_rank_)) {
    out->left_ = true;
    reject(std::string("MPI does not start: ") + wrong, "MPI", "Start the program by mpirun or srun");
  }
  return out;
}

MpiProcesses::~MpiProcesses() { leave(1); }

void MpiProcesses::leave(int code) {
  if (left_) return;
  left_ = true;
  // What went wrong here may go wrong everywhere at once: the first saves what it has before it is ended.
  if (code != 0 && !leads()) std::this_thread::sleep_for(std::chrono::seconds(3));
  library().end(code);
}

void MpiProcesses::sum(double* values, std::size_t count, const CancelToken& cancel) {
  // In parts that MPI's int can count.
  for (std::size_t begin = 0; begin < count;) {
    const std::size_t part = std::min<std::size_t>(count - begin, std::numeric_limits<int>::max());
    check(library().begin_reduce(values + begin, static_cast<int>(part)));
    wait(cancel);
    check(library().begin_broadcast(values + begin, static_cast<int>(part)));
    wait(cancel);
    begin += part;
  }
}

void MpiProcesses::wait(const CancelToken& cancel) {
  using clock = std::chrono::steady_clock;
  const auto start = clock::now();
  for (int done = 0;;) {
    check(library().test(&done));
    if (done) return;
    cancel.check();
    const double seconds = std::chrono::duration<double>(clock::now() - start).count();
    // What is computed meanwhile needs the core more.
    if (seconds > 1e-3) std::this_thread::sleep_for(std::chrono::microseconds(seconds > 0.1 ? 2000 : 100));
  }
}

}  // namespace glyphscope
