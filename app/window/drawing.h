#pragma once

#include <string>
#include <vector>

#include "tasks/commands.h"

namespace glyphscope {

/// How pictures are sampled, and by which adapters: what all pages share.
struct Drawing {
  command::Sampling sampling;
  std::vector<std::string> adapters;
};

}  // namespace glyphscope
