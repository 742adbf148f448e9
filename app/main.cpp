#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "app/signals.h"
#include "core/memory.h"

// Each is compiled where its headers are: torch's and Qt's never meet in one file.
namespace glyphscope::cli {
int run(int argc, char** argv);
}
namespace glyphscope::window {
int run(int argc, char** argv);
}

namespace {

// Libraries take a third of a second of processor time to clean up after themselves; whatever is to be kept is written by now.
[[noreturn]] void leave(int code) {
  std::fflush(nullptr);
  std::_Exit(code);
}

}  // namespace

int main(int argc, char** argv) {
  glyphscope::set_up_memory();
#ifdef GLYPHSCOPE_WINDOW
  // The window opens without arguments, or with a model as the only one; anything else is a verb, rightly spelt or not.
  const std::string model = argc == 2 ? argv[1] : "";
  std::error_code ignored;
  if (argc == 1 || model.starts_with("demo:") || std::filesystem::exists(model, ignored)) {
    glyphscope::hold_signals(SIG_UNBLOCK);
    leave(glyphscope::window::run(argc, argv));
  }
#endif
  leave(glyphscope::cli::run(argc, argv));
}
