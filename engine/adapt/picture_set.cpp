#include "adapt/picture_set.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <opencv2/imgproc.hpp>
#include <set>

#include "core/error.h"
#include "io/image_file.h"
#include "io/text_file.h"
#include "io/weights.h"

namespace glyphscope {
namespace fs = std::filesystem;

namespace {

std::string extension_of(const fs::path& file) {
  std::string out = file.extension().string();
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

bool is_picture(const fs::path& file) {
  static const std::set<std::string> known{".png", ".jpg", ".jpeg", ".webp"};
  return known.contains(extension_of(file));
}
// Of a kind that is not read.
bool is_other_picture(const fs::path& file) {
  static const std::set<std::string> known{".bmp", ".gif", ".tif", ".tiff", ".avif", ".heic", ".heif", ".jxl", ".jp2", ".jfif", ".ppm"};
  return known.contains(extension_of(file));
}

// All files below a folder, each folder once, whatever links lead to it.
std::vector<fs::path> files_below(const fs::path& folder, std::vector<std::string>& faults) {
  std::vector<fs::path> out, folders{folder};
  std::set<fs::path> seen;
  while (!folders.empty()) {
    const fs::path one = folders.back();
    folders.pop_back();
    std::error_code error;
    if (!seen.insert(fs::canonical(one, error)).second) continue;
    fs::directory_iterator entries(one, error);
    if (error) {
      faults.push_back(one.string() + ": the folder cannot be read: " + error.message());
      continue;
    }
    for (; entries != fs::directory_iterator(); entries.increment(error)) {
      if (error) break;
      const bool is_folder = entries->is_directory(error);
      if (is_folder) folders.push_back(entries->path());
      if (!is_folder && entries->is_regular_file(error)) out.push_back(entries->path().lexically_normal());
    }
    if (error) faults.push_back(one.string() + ": not all of the folder can be read: " + error.message());
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::string trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\r\n"), last = text.find_last_not_of(" \t\r\n");
  return first == std::string::npos ? "" : text.substr(first, last - first + 1);
}

// Captions by file, as the lines of a metadata.jsonl give them.
std::map<fs::path, std::string> read_metadata(const fs::path& file, std::vector<std::string>& faults) {
  std::map<fs::path, std::string> out;
  int number = 0;
  for (const std::string& line : read_lines(file, std::uintmax_t{256} << 20)) {
    ++number;
    if (trimmed(line).empty()) continue;
    const auto fault = [&](const std::string& what) { faults.push_back(file.string() + ", line " + std::to_string(number) + ": " + what); };
    const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("file_name") || !json["file_name"].is_string()) {
      fault("no JSON object with a file_name");
      continue;
    }
    const fs::path picture = (file.parent_path() / json["file_name"].get<std::string>()).lexically_normal();
    // The column has no fixed name; these are the usual ones.
    std::string caption;
    for (const char* key : {"text", "caption", "prompt"})
      if (caption.empty() && json.contains(key) && json[key].is_string()) caption = trimmed(json[key]);
    if (caption.empty())
      fault("no caption (text, caption or prompt)");
    else if (!fs::exists(picture))
      fault("there is no " + picture.string());
    else if (!is_picture(picture))
      fault(picture.string() + " is no PNG, JPEG or WebP");
    else if (!out.emplace(picture, caption).second)
      fault(picture.string() + " has a caption already, which is kept");
  }
  return out;
}

}  // namespace

PictureSet read_picture_set(const fs::path& folder, double held_out, const ProgressCallback& progress, const CancelToken& cancel) {
  if (!fs::is_directory(folder)) reject("there is no such folder of pictures", folder.string());
  PictureSet out;
  std::map<fs::path, std::string> captions;
  std::set<fs::path> pictures;
  for (const fs::path& file : files_below(folder, out.faults)) {
    if (file.filename() == "metadata.jsonl") {
      auto read = attempt([&] { return read_metadata(file, out.faults); });
      if (!read) {
        out.faults.push_back(read.error().message());
        continue;
      }
      captions.merge(*read);
      for (const auto& [picture, caption] : *read) out.faults.push_back(file.string() + ": " + picture.string() + " has a caption already, which is kept");
    }
    if (is_picture(file)) pictures.insert(file);
    if (is_other_picture(file)) out.faults.push_back(file.string() + ": this kind of picture is not read; save it as PNG, JPEG or WebP");
  }
  for (const auto& [picture, caption] : captions)
    if (!pictures.contains(picture)) out.faults.push_back(picture.string() + ": a metadata.jsonl names it, and it lies outside the folder");
  std::set<std::string> seen;
  std::int64_t done = 0;
  for (const auto& file : pictures) {
    cancel.check();
    progress({"reading pictures", done++, static_cast<std::int64_t>(pictures.size())});
    auto caption = captions.find(file);
    if (const fs::path beside = fs::path(file).replace_extension(".txt"); caption == captions.end() && fs::exists(beside)) {
      const auto text = attempt([&] { return trimmed(read_text_file(beside)); });
      if (!text) {
        out.faults.push_back(text.error().message());
        continue;
      }
      caption = captions.emplace(file, *text).first;
    }
    if (caption == captions.end() || caption->second.empty()) {
      out.faults.push_back(file.string() + ": no caption, neither in metadata.jsonl nor in a .txt beside it");
      continue;
    }
    const auto read = attempt([&] { return read_image(file); });
    if (!read) {
      out.faults.push_back(read.error().message());
      continue;
    }
    CaptionedPicture picture{file, caption->second, sha256_file(file), read->size(2), read->size(1)};
    if (!seen.insert(picture.hash + caption->second).second) {
      out.faults.push_back(file.string() + ": the same picture with the same caption is there already");
      continue;
    }
    const double place = static_cast<double>(std::stoul(picture.hash.substr(0, 8), nullptr, 16)) / 4294967296.0;
    (place < held_out ? out.held_out : out.train).push_back(std::move(picture));
  }
  if (out.train.empty() && out.held_out.empty()) {
    std::string what = "the folder holds no picture with a caption";
    for (size_t i = 0; i < out.faults.size() && i < 5; ++i) what += "\n  " + out.faults[i];
    reject(what, folder.string(), "Put a metadata.jsonl or a .txt beside each picture");
  }
  return out;
}

std::string PictureSet::sha256() const {
  std::string list;
  for (const auto* part : {&train, &held_out})
    for (const auto& one : *part) list += one.hash + " " + one.caption + "\n";
  return sha256_text(list);
}

std::vector<Bucket> aspect_buckets(std::int64_t resolution, std::int64_t multiple) {
  std::vector<Bucket> out;
  const double area = static_cast<double>(resolution * resolution);
  for (std::int64_t width = multiple; width <= 2 * resolution; width += multiple) {
    const std::int64_t height = static_cast<std::int64_t>(area / static_cast<double>(width)) / multiple * multiple;
    if (height >= multiple && height <= 2 * width && width <= 2 * height) out.push_back({width, height});
  }
  if (out.empty()) out.push_back({resolution, resolution});
  return out;
}

Bucket nearest_bucket(const std::vector<Bucket>& buckets, std::int64_t width, std::int64_t height) {
  const double aspect = std::log(static_cast<double>(width) / static_cast<double>(height));
  auto distance = [&](const Bucket& one) { return std::abs(std::log(static_cast<double>(one.width) / static_cast<double>(one.height)) - aspect); };
  return *std::min_element(buckets.begin(), buckets.end(), [&](const Bucket& a, const Bucket& b) {
    // Of equal aspects the larger.
    const double da = distance(a), db = distance(b);
    return std::abs(da - db) > 1e-9 ? da < db : a.width * a.height > b.width * b.height;
  });
}

Crop crop_of(std::int64_t width, std::int64_t height, const Bucket& bucket) {
  const double scale =
      std::max(static_cast<double>(bucket.width) / static_cast<double>(width), static_cast<double>(bucket.height) / static_cast<double>(height));
  Crop out;
  out.width = std::max(bucket.width, static_cast<std::int64_t>(std::lround(static_cast<double>(width) * scale)));
  out.height = std::max(bucket.height, static_cast<std::int64_t>(std::lround(static_cast<double>(height) * scale)));
  out.left = (out.width - bucket.width) / 2;
  out.top = (out.height - bucket.height) / 2;
  return out;
}

torch::Tensor crop_to(const torch::Tensor& image, const Bucket& bucket) {
  const std::int64_t height = image.size(1), width = image.size(2);
  const Crop crop = crop_of(width, height, bucket);
  torch::Tensor pixels = image.permute({1, 2, 0}).contiguous();
  const cv::Mat from(static_cast<int>(height), static_cast<int>(width), CV_8UC3, pixels.data_ptr());
  cv::Mat scaled = from;
  if (crop.width != width || crop.height != height)
    cv::resize(from, scaled, cv::Size(static_cast<int>(crop.width), static_cast<int>(crop.height)), 0, 0,
               crop.width < width ? cv::INTER_AREA : cv::INTER_CUBIC);
  const torch::Tensor whole = torch::from_blob(scaled.data, {crop.height, crop.width, 3}, torch::kUInt8);
  return whole.slice(0, crop.top, crop.top + bucket.height)
      .slice(1, crop.left, crop.left + bucket.width)
      .permute({2, 0, 1})
      .clone(torch::MemoryFormat::Contiguous);
}

}  // namespace glyphscope
