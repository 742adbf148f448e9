#pragma once

#include <cstdint>
#include <fstream>
#include <string>

namespace glyphscope::testing {

/// Bytes of a line of /proc/self/status: "VmHWM" is the most memory that this process has held so far, "VmRSS" what it holds. getrusage() would
/// also tell what the process that started this one had taken.
inline std::int64_t process_bytes(const std::string& name) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(name + ":")) return std::stoll(line.substr(name.size() + 1)) * 1024;
  return 0;
}

/// From here on "VmHWM" counts anew.
inline void forget_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

}  // namespace glyphscope::testing
