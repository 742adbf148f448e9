#pragma once

#include <torch/types.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/bitmap.h"

namespace glyphscope {

/// What read_image reads, as a sentence has it.
inline constexpr const char* kPictureKinds = "PNG, JPEG, WebP, TIFF or BMP";

/// Whether a file's name ends as those of these kinds do; and as those of pictures of other kinds, which are not read.
bool has_picture_name(const std::filesystem::path& file);
bool has_other_picture_name(const std::filesystem::path& file);

/// Reads a picture, whatever its name ends in, as [3, H, W] uint8, RGB: turned as EXIF says; transparency is laid over white; the first of a TIFF's pages
/// and of an animated PNG's pictures. Throws a Failure that names the file if it is of another kind (which it names), is damaged, or has more than 8192
/// pixels a side.
torch::Tensor read_image(const std::filesystem::path& file);
/// The same of a picture's bytes; where: what errors name.
torch::Tensor image_of(const std::string& bytes, const std::filesystem::path& where);

/// [3, H, W] uint8 as rows of pixels, and the reverse.
Bitmap to_bitmap(const torch::Tensor& image);
torch::Tensor to_tensor(const Bitmap& bitmap);

/// As PNG, with `metadata` (what made the picture) in a text chunk "glyphscope". dpi: how large it is meant to be; 0: nothing is said of it.
std::string png_bytes(const Bitmap& image, const nlohmann::ordered_json& metadata = nullptr, int dpi = 0);
std::string png_bytes(const torch::Tensor& image, const nlohmann::ordered_json& metadata = nullptr);
/// Writes it, atomically.
void write_png(const std::filesystem::path& file, const torch::Tensor& image, const nlohmann::ordered_json& metadata = nullptr);

/// The text "glyphscope" of a PNG, whichever kind of text chunk it is in; "" if it has none. Throws a Failure that names the file if it is no PNG or damaged.
std::string read_png_metadata(const std::filesystem::path& file);
std::string png_metadata_of(const std::string& bytes, const std::filesystem::path& where);

/// Pictures of equal size, [3, H, W] uint8 each, in rows of `columns`; small ones enlarged without smoothing.
torch::Tensor contact_sheet(const std::vector<torch::Tensor>& images, int columns);

}  // namespace glyphscope
