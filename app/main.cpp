#include <cstring>

// Each is compiled where its headers are: torch's and Qt's never meet in one file.
namespace glyphscope::cli {
int run(int argc, char** argv);
}
namespace glyphscope::window {
int run(int argc, char** argv);
}

int main(int argc, char** argv) {
#ifdef GLYPHSCOPE_WINDOW
  // No verb: the window, with a model's folder as its only argument perhaps.
  static constexpr const char* kVerbs[] = {"inspect", "generate", "patch", "localize", "evaluate", "train-demo", "--help", "-h", "--version"};
  bool verb = false;
  for (int i = 1; i < argc; ++i)
    for (const char* name : kVerbs) verb |= std::strcmp(argv[i], name) == 0;
  if (!verb && argc <= 2 && (argc < 2 || argv[1][0] != '-')) return glyphscope::window::run(argc, argv);
#endif
  return glyphscope::cli::run(argc, argv);
}
