#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace glyphscope {

/// Files by their names, which have '/' between folders.
using ArchiveFiles = std::map<std::string, std::string>;

/// What an archive may hold: more is refused before it is unpacked.
struct ArchiveLimits {
  std::uint64_t files = 20'000, file_bytes = std::uint64_t{256} << 20, bytes = std::uint64_t{4} << 30;
};

/// The files of a zip archive, or those in a plain folder, but for what begins with a point. Throws a Failure that names the archive, and the file in it: for
/// what is no archive, is cut off or damaged, would lie outside of it ("../x", "/x", a link), is encrypted, or is more than the limits allow.
ArchiveFiles read_archive(const std::filesystem::path& path, const ArchiveLimits& limits = {});

/// Writes them as a zip archive, whole or not at all; pictures are stored as they are. Where `path` is a folder that is there, as files in it, of which `last`
/// is written last, and those that an earlier writing left in folders of these names go.
void write_archive(const std::filesystem::path& path, const ArchiveFiles& files, const std::string& last);

}  // namespace glyphscope
