#include "io/image_file.h"

#include <torch/types.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <exiv2/exiv2.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <set>

#include "core/error.h"
#include "io/files.h"

namespace glyphscope {

namespace {

constexpr int kLargestSide = 8192;

bool is_tiff(const std::string& bytes) { return bytes.starts_with(std::string("II*\0", 4)) || bytes.starts_with(std::string("MM\0*", 4)); }

// A number that EXIF or TIFF tells of a picture; `otherwise` where nothing says so, or what does is damaged.
std::int64_t told_number(const std::string& bytes, const char* key, std::int64_t otherwise) {
  static const bool once = [] {
    Exiv2::LogMsg::setLevel(Exiv2::LogMsg::mute);
    return Exiv2::XmpParser::initialize();  // or two threads might do it at once
  }();
  if (!once) return otherwise;
  try {
    const auto image = Exiv2::ImageFactory::open(reinterpret_cast<const Exiv2::byte*>(bytes.data()), static_cast<long>(bytes.size()));
    image->readMetadata();
    const auto& exif = image->exifData();
    const auto found = exif.findKey(Exiv2::ExifKey(key));
    return found == exif.end() || found->count() == 0 ? otherwise : found->toLong();
  } catch (const Exiv2::AnyError&) {
    return otherwise;
  }
}

// Which way the camera was held, 1 (upright) to 8, as EXIF numbers it. OpenCV asks it of JPEG and TIFF alone.
int orientation_of(const std::string& bytes) {
  const std::int64_t value = told_number(bytes, "Exif.Image.Orientation", 1);
  return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
}

// Whether the colours that OpenCV gives of a TIFF are multiplied by how opaque they are. Source: TIFF 6.0, ExtraSamples: 1, they are so in the file; 2, they
// are not, and libtiff's TIFFReadRGBAStrip, which OpenCV reads 8 bits with, multiplies them.
bool is_multiplied(const std::string& bytes, int depth) {
  const std::int64_t extra = told_number(bytes, "Exif.Image.ExtraSamples", 0);
  return extra == 1 || (extra == 2 && depth == CV_8U);
}

// The picture as it was seen. Source: EXIF 2.32, tag 0x0112.
cv::Mat turned_upright(const cv::Mat& image, int orientation) {
  cv::Mat out = image;
  if (orientation >= 5) cv::transpose(out, out);
  constexpr int kBoth = -1, kUpDown = 0, kLeftRight = 1;
  switch (orientation) {
    case 2:
    case 6:
      cv::flip(out, out, kLeftRight);
      break;
    case 3:
    case 7:
      cv::flip(out, out, kBoth);
      break;
    case 4:
    case 8:
      cv::flip(out, out, kUpDown);
      break;
    default:
      break;
  }
  return out;
}

std::uint32_t big_endian(const std::string& bytes, size_t at) {
  return static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[at]) << 8 | static_cast<unsigned char>(bytes[at + 1]));
}

// Whether a JPEG goes on to the mark of its end: decoders fill what is missing with grey, and say nothing. Segments have a length; in the compressed data
// that follow some, only restart marks stand.
bool is_whole_jpeg(const std::string& bytes) {
  for (size_t at = 2; at + 1 < bytes.size();) {
    const auto mark = static_cast<unsigned char>(bytes[at + 1]);
    const bool restart = mark >= 0xD0 && mark <= 0xD7;
    if (static_cast<unsigned char>(bytes[at]) != 0xFF || mark == 0 || mark == 0xFF || restart) {
      at += mark == 0xFF || static_cast<unsigned char>(bytes[at]) != 0xFF ? 1 : 2;
    } else if (mark == 0xD9) {
      return true;
    } else {
      if (at + 3 >= bytes.size()) return false;
      at += 2 + big_endian(bytes, at + 2);
    }
  }
  return false;
}

// A WebP's first bytes say how many follow; its second part, whether it moves.
bool is_webp(const std::string& bytes) { return bytes.size() >= 21 && bytes.starts_with("RIFF") && bytes.compare(8, 4, "WEBP") == 0; }
bool is_animated_webp(const std::string& bytes) { return bytes.compare(12, 4, "VP8X") == 0 && (static_cast<unsigned char>(bytes[20]) & 2) != 0; }

// The kind of a picture that begins so and is not read; "" for others. Sources: GIF89a; ISO/IEC 14496-12 (the brands of ISO/IEC 23008-12 and of AVIF
// follow "ftyp"); ISO/IEC 18181-2; ISO/IEC 15444-1, annex I.
std::string unread_kind(const std::string& bytes) {
  if (bytes.starts_with("GIF8")) return "a GIF";
  if (bytes.starts_with("\xFF\x0A") || bytes.starts_with(std::string("\0\0\0\x0CJXL ", 8))) return "a JPEG XL";
  if (bytes.starts_with("\xFF\x4F\xFF\x51") || bytes.starts_with(std::string("\0\0\0\x0CjP  ", 8))) return "a JPEG 2000";
  if (bytes.size() < 12 || bytes.compare(4, 4, "ftyp") != 0) return "";
  const std::string brand = bytes.substr(8, 4);
  if (brand == "avif" || brand == "avis") return "an AVIF";
  return brand.starts_with("he") || brand == "mif1" || brand == "msf1" ? "a HEIF" : "a film";
}

bool ends_in_one_of(const std::filesystem::path& file, const std::set<std::string>& known) { return known.contains(ending_of(file)); }

}  // namespace

bool has_picture_name(const std::filesystem::path& file) {
  static const std::set<std::string> known{".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".bmp"};
  return ends_in_one_of(file, known);
}

bool has_other_picture_name(const std::filesystem::path& file) {
  static const std::set<std::string> known{".gif", ".avif", ".heic", ".heif", ".jxl", ".jp2", ".j2k", ".ppm", ".pgm", ".tga", ".psd", ".exr", ".svg"};
  return ends_in_one_of(file, known);
}

torch::Tensor read_image(const std::filesystem::path& file) { return image_of(read_text(file), file); }

torch::Tensor image_of(const std::string& bytes, const std::filesystem::path& file) {
  cv::Mat image;
  // Unchanged, as OpenCV says it: neither turned, nor without what is transparent. A JPEG is never transparent, and may be in other colours.
  const bool jpeg = bytes.starts_with("\xFF\xD8");
  if (bytes.empty()) reject("the file is empty", file.string());
  if (jpeg && !is_whole_jpeg(bytes)) reject("the image is cut off, or damaged", file.string(), "Get the file again");
  if (const std::string kind = unread_kind(bytes); !kind.empty())
    reject("this is " + kind + ", which Glyphscope does not read", file.string(), "Save it as PNG, JPEG or WebP");
  if (is_webp(bytes) && is_animated_webp(bytes)) reject("this WebP is animated, which cannot be used", file.string(), "Save one of its pictures");
  refuse_stand_in(file, std::string_view(bytes).substr(0, 256), bytes.size());
  try {
    image = cv::imdecode(cv::Mat(1, static_cast<int>(bytes.size()), CV_8U, const_cast<char*>(bytes.data())),
                         jpeg ? cv::IMREAD_COLOR | cv::IMREAD_IGNORE_ORIENTATION : cv::IMREAD_UNCHANGED);
  } catch (const cv::Exception& error) {
    if (error.code == cv::Error::StsNoMem) throw Failure({ErrorCode::out_of_memory, "not enough memory for the image", file.string(), ""});
    reject("the image cannot be read: " + error.err, file.string());
  }
  if (image.empty()) reject("this is no image, or it is damaged", file.string(), std::string("Glyphscope reads ") + kPictureKinds);
  if (image.cols > kLargestSide || image.rows > kLargestSide)
    reject("the image has more than " + std::to_string(kLargestSide) + " pixels a side", file.string(), "Save it smaller");
  if (!is_tiff(bytes)) image = turned_upright(image, orientation_of(bytes));  // OpenCV turns a TIFF itself
  const bool multiplied = image.channels() == 4 && is_tiff(bytes) && is_multiplied(bytes, image.depth());
  if (image.depth() == CV_16U) image.convertTo(image, CV_8U, 1 / 257.0);
  if (image.depth() != CV_8U) reject("the image's pixels are neither of 8 nor of 16 bits", file.string());
  cv::Mat rgb;
  if (image.channels() == 1) {
    cv::cvtColor(image, rgb, cv::COLOR_GRAY2RGB);
  } else if (image.channels() == 3) {
    cv::cvtColor(image, rgb, cv::COLOR_BGR2RGB);
  } else {
    rgb.create(image.size(), CV_8UC3);
    for (int y = 0; y < image.rows; ++y) {
      for (int x = 0; x < image.cols; ++x) {
        const auto pixel = image.at<cv::Vec4b>(y, x);
        for (int c = 0; c < 3; ++c) {
          const int colour = multiplied ? pixel[2 - c] * 255 : pixel[2 - c] * pixel[3];
          rgb.at<cv::Vec3b>(y, x)[c] = static_cast<unsigned char>((colour + 255 * (255 - pixel[3]) + 127) / 255);
        }
      }
    }
  }
  return torch::from_blob(rgb.data, {rgb.rows, rgb.cols, 3}, torch::kUInt8).permute({2, 0, 1}).clone(torch::MemoryFormat::Contiguous);
}

}  // namespace glyphscope
