#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace glyphscope {

/// Words of a text file, one a line; empty lines and lines that start with # are left out. Throws a Failure that names
/// the file if it is not UTF-8 text or holds no word.
std::vector<std::string> read_word_list(const std::filesystem::path& file);

/// A file that ships with Glyphscope ("words/train.txt"): under $GLYPHSCOPE_RESOURCES, beside the program
/// (../share/glyphscope), or in the source tree it was built from. Throws a Failure if it is in none of them.
std::filesystem::path resource(const std::filesystem::path& name);

/// The demo models that ship, as "demo:NAME"; the one to begin with first.
std::vector<std::string> demo_models();

}  // namespace glyphscope
