#include "io/resources.h"

#include <cstdlib>

#include "core/error.h"
#include "io/text_file.h"

namespace glyphscope {
namespace fs = std::filesystem;

std::vector<std::string> read_word_list(const fs::path& file) {
  std::vector<std::string> words;
  for (const std::string& line : read_lines(file)) {
    const auto first = line.find_first_not_of(" \t\r"), last = line.find_last_not_of(" \t\r");
    if (first == std::string::npos || line[first] == '#') continue;
    words.push_back(line.substr(first, last - first + 1));
  }
  if (words.empty()) reject("there is no word in the list", file.string(), "A word list has one word a line");
  return words;
}

fs::path resource(const fs::path& name) {
  std::vector<fs::path> folders;
  if (const char* folder = std::getenv("GLYPHSCOPE_RESOURCES")) folders.emplace_back(folder);
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (!error) folders.push_back(program.parent_path().parent_path() / "share" / "glyphscope");
  folders.emplace_back(GLYPHSCOPE_SOURCE_RESOURCES);
  for (const auto& folder : folders)
    if (fs::exists(folder / name, error)) return folder / name;
  reject("a file that ships with Glyphscope is missing: " + name.string(), folders.back().string(),
         "Set GLYPHSCOPE_RESOURCES to the folder 'resources' of its sources");
}

std::vector<std::string> demo_models() {
  std::vector<std::string> out;
  for (const char* name : {"sign-unet", "sign-mmdit", "sign-pixel"})
    if (attempt([&] { return resource(fs::path("models") / name / "model_index.json"); })) out.push_back(std::string("demo:") + name);
  return out;
}

}  // namespace glyphscope
