#pragma once

#include <torch/types.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace glyphscope {

/// Reads a PNG, JPEG or WebP as [3, H, W] uint8, RGB; transparency is laid over white. Throws a Failure that names the
/// file if it is no image, is damaged, or has more than 8192 pixels a side.
torch::Tensor read_image(const std::filesystem::path& file);

/// Writes [3, H, W] uint8 as PNG, atomically, with `metadata` (what made the picture) in a text chunk "glyphscope".
void write_png(const std::filesystem::path& file, const torch::Tensor& image, const nlohmann::ordered_json& metadata = nullptr);

/// The text chunk "glyphscope" of a PNG, "" if it has none.
std::string read_png_metadata(const std::filesystem::path& file);

}  // namespace glyphscope
