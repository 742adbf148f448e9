#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/progress.h"
#include "demo/signs.h"

namespace glyphscope {

/// Pictures of signs to fine-tune a demo model on.
struct SignFolder {
  std::vector<std::string> texts;  ///< What may stand on them; each of a length that `data` allows.
  int count = 500;                 ///< Pictures.
  int held_out = 64;               ///< Texts that no picture has: a quarter of them at most.
  std::optional<TextStyle::Font> font;
  SignData data;
  std::uint64_t seed = 42;
};

/// Numbers of three to five digits, all different, without 0 and 1, which a sign's font makes hard to tell from letters.
std::vector<std::string> sign_numbers(int count, const SignData& data, std::uint64_t seed);

/// Draws them into `folder`: PNG files with metadata.jsonl, and prompts.txt with a sign for each text held out and as many blank ones. Throws a
/// Failure; a folder that holds pictures already is refused.
void draw_sign_folder(const SignFolder& settings, const std::filesystem::path& folder, const ProgressCallback& progress, const CancelToken& cancel);

}  // namespace glyphscope
