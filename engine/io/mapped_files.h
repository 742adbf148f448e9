#pragma once

#include <cstdint>
#include <string>

namespace glyphscope {

/// Files that lie in memory. One that is cut by someone else while it does would end the process when its lost part is read; instead that part reads as
/// zeros, and the file is remembered.
void watch_mapped_file(const void* begin, std::uint64_t bytes, const std::string& name);
void forget_mapped_file(const void* begin);

/// Throws a Failure that names a watched file which has turned out to be cut. To be called after reading, before what was read is used.
void check_mapped_files();

}  // namespace glyphscope
