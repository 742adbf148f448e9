#pragma once

#include <string>

namespace glyphscope {

/// Models that score pictures beside OCR.
struct JudgeFolders {
  std::string clip, dino, lpips;  ///< Folders that the user gives; empty: none.
  bool reader = true;             ///< The small reader that ships, whose log-likelihoods are a smooth score: see CtcReader.
  bool operator==(const JudgeFolders&) const = default;
};

}  // namespace glyphscope
