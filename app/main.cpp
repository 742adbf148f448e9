#include <filesystem>
#include <string>

#include "core/memory.h"

// Each is compiled where its headers are: torch's and Qt's never meet in one file.
namespace glyphscope::cli {
int run(int argc, char** argv);
}
namespace glyphscope::window {
int run(int argc, char** argv);
}

int main(int argc, char** argv) {
  glyphscope::set_up_memory();
#ifdef GLYPHSCOPE_WINDOW
  // The window opens without arguments, or with a model as the only one; anything else is a verb, rightly spelt or not.
  const std::string model = argc == 2 ? argv[1] : "";
  std::error_code ignored;
  if (argc == 1 || model.starts_with("demo:") || std::filesystem::exists(model, ignored)) return glyphscope::window::run(argc, argv);
#endif
  return glyphscope::cli::run(argc, argv);
}
