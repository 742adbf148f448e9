#pragma once

#include <string>
#include <vector>

namespace glyphscope {

/// A device by its name, and by what its maker calls it: "cuda:0", "NVIDIA H200".
struct NamedDevice {
  std::string name, title;
};

/// Those beside the CPU that can be named, without opening any: for a list to choose from.
std::vector<NamedDevice> devices_in_sight();

}  // namespace glyphscope
