// Starts glyphscope-main beside it, in a process that does not spin. Threads that wait for each other by spinning make the program several times slower
// beside another busy one, and gain nothing on a quiet machine; their library reads whether it is to spin when it is loaded, before any line of a program
// that it belongs to runs. So this one has no library.
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "app/signals.h"

int main(int, char** argv) {
  ::setenv("OMP_WAIT_POLICY", "passive", /*overwrite=*/0);
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / "glyphscope-main";
  glyphscope::hold_signals(SIG_BLOCK);
  ::execv(program.c_str(), argv);
  std::fprintf(stderr, "glyphscope: cannot start %s: %s. It belongs beside this program.\n", program.c_str(), std::strerror(errno));
  return 5;
}
