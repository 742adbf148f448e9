#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace glyphscope {

/// Whether a file is a list of captions of Hugging Face's imagefolder, by its name: metadata.jsonl or metadata.csv.
bool is_caption_list(const std::filesystem::path& file);

/// Its captions, by picture: of a line {"file_name": .., "text": ..} each, or of a table whose first row names its columns. What is wrong with a line
/// goes to `faults`, with file and line. Throws a Failure that names the file for one that cannot be read at all.
std::map<std::filesystem::path, std::string> read_caption_list(const std::filesystem::path& file, std::vector<std::string>& faults);

}  // namespace glyphscope
