#include <png.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <csetjmp>
#include <cstring>

#include "core/error.h"
#include "core/unicode.h"
#include "io/files.h"
#include "io/image_file.h"

namespace glyphscope {

namespace {

constexpr char kKeyword[] = "glyphscope";

// libpng leaves by longjmp: between setjmp and its end there are no objects with destructors.
struct PngMessage {
  char text[160] = "";
};

void keep_message(png_structp png, png_const_charp message) {
  auto* kept = static_cast<PngMessage*>(png_get_error_ptr(png));
  std::strncpy(kept->text, message, sizeof kept->text - 1);
  png_longjmp(png, 1);
}
void ignore_warning(png_structp, png_const_charp) {}

void append_bytes(png_structp png, png_bytep bytes, png_size_t length) {
  // What a full memory throws must not pass through libpng, nor may libpng jump out of a handler.
  bool kept = true;
  try {
    static_cast<std::string*>(png_get_io_ptr(png))->append(reinterpret_cast<const char*>(bytes), length);
  } catch (const std::bad_alloc&) {
    kept = false;
  }
  if (!kept) png_error(png, "not enough memory");
}
void no_flush(png_structp) {}

struct Reading {
  const char* bytes;
  size_t size, at = 0;
};

void take_bytes(png_structp png, png_bytep out, png_size_t length) {
  auto* from = static_cast<Reading*>(png_get_io_ptr(png));
  if (length > from->size - from->at) png_error(png, "the file is cut off");
  std::memcpy(out, from->bytes + from->at, length);
  from->at += length;
}

bool encode(const Bitmap& image, const char* text, int dpi, std::string* out, PngMessage* message) {
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, message, keep_message, ignore_warning);
  if (!png) return false;
  png_infop info = png_create_info_struct(png);
  if (!info || setjmp(png_jmpbuf(png))) {
    png_destroy_write_struct(&png, &info);
    return false;
  }
  png_set_write_fn(png, out, append_bytes, no_flush);
  png_set_IHDR(png, info, static_cast<png_uint_32>(image.width), static_cast<png_uint_32>(image.height), 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  constexpr double kInchesPerMetre = 1 / 0.0254;
  if (dpi > 0) {
    const auto dots = static_cast<png_uint_32>(std::lround(dpi * kInchesPerMetre));
    png_set_pHYs(png, info, dots, dots, PNG_RESOLUTION_METER);
  }
  if (text) {
    char keyword[sizeof kKeyword];
    std::memcpy(keyword, kKeyword, sizeof kKeyword);
    png_text chunk{};
    chunk.compression = PNG_ITXT_COMPRESSION_NONE;
    chunk.key = keyword;
    chunk.text = const_cast<char*>(text);
    chunk.itxt_length = std::strlen(text);
    png_set_text(png, info, &chunk, 1);
  }
  png_write_info(png, info);
  for (int y = 0; y < image.height; ++y) png_write_row(png, image.rgb.data() + static_cast<size_t>(y) * static_cast<size_t>(image.width) * 3);
  png_write_end(png, nullptr);
  png_destroy_write_struct(&png, &info);
  return true;
}

// row: lives with the caller, whatever libpng leaves by.
void skip_pixels(png_structp png, png_infop info, std::vector<png_byte>* row) {
  const int passes = png_set_interlace_handling(png);
  png_read_update_info(png, info);
  row->resize(png_get_rowbytes(png, info));
  for (int pass = 0; pass < passes; ++pass)
    for (png_uint_32 y = png_get_image_height(png, info); y > 0; --y) png_read_row(png, row->data(), nullptr);
}

// Texts may stand before the pixels or after them.
bool decode_text(Reading* from, std::string* out, bool* latin, std::vector<png_byte>* row, PngMessage* message) {
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, message, keep_message, ignore_warning);
  if (!png) return false;
  png_infop info = png_create_info_struct(png), end = png_create_info_struct(png);
  if (!info || !end || setjmp(png_jmpbuf(png))) {
    png_destroy_read_struct(&png, &info, &end);
    return false;
  }
  constexpr png_alloc_size_t kLongestText = 256u << 20;  // a figure's description holds its pictures
  png_set_chunk_malloc_max(png, kLongestText);
  png_set_user_limits(png, 1u << 14, 1u << 14);
  png_set_read_fn(png, from, take_bytes);
  png_read_info(png, info);
  for (png_infop one : {info, end}) {
    if (one == end) skip_pixels(png, info, row), png_read_end(png, end);
    png_textp texts = nullptr;
    const int count = png_get_text(png, one, &texts, nullptr);
    for (int i = 0; i < count; ++i) {
      if (std::strcmp(texts[i].key, kKeyword) != 0) continue;
      const bool utf8 = texts[i].compression == PNG_ITXT_COMPRESSION_NONE || texts[i].compression == PNG_ITXT_COMPRESSION_zTXt;
      *latin = !utf8;
      out->assign(texts[i].text, utf8 ? texts[i].itxt_length : texts[i].text_length);
      png_destroy_read_struct(&png, &info, &end);
      return true;
    }
  }
  png_destroy_read_struct(&png, &info, &end);
  return true;
}

}  // namespace

Bitmap to_bitmap(const torch::Tensor& image) {
  if (image.dim() != 3 || image.size(0) != 3 || image.scalar_type() != torch::kUInt8) reject("an image must be [3, height, width] of bytes");
  const torch::Tensor pixels = image.permute({1, 2, 0}).contiguous();
  const auto* first = pixels.const_data_ptr<std::uint8_t>();
  return {static_cast<int>(image.size(2)), static_cast<int>(image.size(1)), {first, first + pixels.numel()}};
}

torch::Tensor to_tensor(const Bitmap& bitmap) {
  return torch::from_blob(const_cast<std::uint8_t*>(bitmap.rgb.data()), {bitmap.height, bitmap.width, 3}, torch::kUInt8)
      .permute({2, 0, 1})
      .clone(torch::MemoryFormat::Contiguous);
}

std::string png_bytes(const Bitmap& image, const nlohmann::ordered_json& metadata, int dpi) {
  std::string out;
  PngMessage message;
  const std::string text = metadata.is_null() ? "" : json_text(metadata);
  if (image.width <= 0 || image.height <= 0 || image.rgb.size() != static_cast<size_t>(image.width) * static_cast<size_t>(image.height) * 3)
    reject("the image has no pixels", "PNG");
  if (!encode(image, metadata.is_null() ? nullptr : text.c_str(), dpi, &out, &message))
    reject(std::string("the image cannot be encoded: ") + message.text, "PNG");
  return out;
}

std::string png_bytes(const torch::Tensor& image, const nlohmann::ordered_json& metadata) { return png_bytes(to_bitmap(image), metadata); }

void write_png(const std::filesystem::path& file, const torch::Tensor& image, const nlohmann::ordered_json& metadata) {
  write_text(file, png_bytes(image, metadata));
}

std::string read_png_metadata(const std::filesystem::path& file) { return png_metadata_of(read_text(file), file); }

std::string png_metadata_of(const std::string& bytes, const std::filesystem::path& file) {
  if (bytes.size() < 8 || png_sig_cmp(reinterpret_cast<png_const_bytep>(bytes.data()), 0, 8) != 0) reject("this is no PNG", file.string());
  Reading from{bytes.data(), bytes.size()};
  std::string out;
  std::vector<png_byte> row;
  bool latin = false;
  PngMessage message;
  if (!decode_text(&from, &out, &latin, &row, &message)) reject(std::string("the PNG is damaged: ") + message.text, file.string(), "Get the file again");
  // tEXt and zTXt are Latin-1, says the PNG specification; some writers put UTF-8 there all the same.
  if (!latin || first_invalid_utf8(out) == std::string::npos) return out;
  std::string wide;
  for (const char c : out) append_utf8(wide, static_cast<unsigned char>(c));
  return wide;
}

torch::Tensor contact_sheet(const std::vector<torch::Tensor>& images, int columns) {
  if (images.empty()) return torch::zeros({3, 1, 1}, torch::kUInt8);
  const auto count = static_cast<std::int64_t>(images.size()), across = std::min<std::int64_t>(columns, count);
  constexpr std::int64_t kReadable = 128;
  const std::int64_t h = images[0].size(1), w = images[0].size(2), factor = std::max<std::int64_t>(1, kReadable / w);
  torch::Tensor out = torch::full({3, (count + across - 1) / across * h, across * w}, 255, torch::kUInt8);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t top = i / across * h, left = i % across * w;
    out.slice(1, top, top + h).slice(2, left, left + w).copy_(images[static_cast<size_t>(i)]);
  }
  return out.repeat_interleave(factor, 1).repeat_interleave(factor, 2);
}

}  // namespace glyphscope
