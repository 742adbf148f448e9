#include "adapt/picture_set.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <opencv2/imgproc.hpp>
#include <optional>
#include <regex>
#include <set>

#include "adapt/caption_list.h"
#include "core/error.h"
#include "io/image_file.h"
#include "io/text_file.h"
#include "io/weights.h"

namespace glyphscope {
namespace fs = std::filesystem;

namespace {

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
      if (is_folder) continue;
      if (entries->is_regular_file(error))
        out.push_back(entries->path().lexically_normal());
      else
        faults.push_back(entries->path().string() + (entries->is_symlink(error) ? ": the link leads nowhere" : ": this is no file"));
    }
    if (error) faults.push_back(one.string() + ": not all of the folder can be read: " + error.message());
  }
  std::sort(out.begin(), out.end());
  return out;
}

// "10_a red sign": its pictures count ten times, and are of a red sign. Source: kohya-ss/sd-scripts, docs/train_README.
struct RepeatFolder {
  int repeats = 1;
  std::string caption;
};
std::optional<RepeatFolder> repeat_folder(const fs::path& folder) {
  static const std::regex form("([0-9]{1,6})_(.*)");
  const std::string name = fs::absolute(folder).lexically_normal().filename().string();
  std::smatch found;
  if (!std::regex_match(name, found, form)) return {};
  return RepeatFolder{std::stoi(found[1]), trimmed(found[2].str())};
}

// Captions of pictures that no list names, and what is to be said of them once for all.
class CaptionFiles {
 public:
  // Of the text file beside a picture, or of its folder's name. Throws a Failure that says why there is none.
  std::string caption_of(const fs::path& picture) {
    const fs::path text = fs::path(picture).replace_extension(".txt"), caption = fs::path(picture).replace_extension(".caption");
    const bool both = fs::exists(text) && fs::exists(caption);
    if (both) ++both_;
    if (fs::exists(text) || fs::exists(caption)) return read(fs::exists(text) ? text : caption);
    const auto named = repeat_folder(picture.parent_path());
    if (!named || named->caption.empty())
      reject("no caption, neither in a metadata.jsonl or metadata.csv nor in a .txt or .caption beside it", picture.string());
    ++by_folder_[picture.parent_path()];
    return named->caption;
  }

  std::vector<std::string> notes() const {
    std::vector<std::string> out;
    if (longer_ > 0)
      out.push_back("captions of more than one line: " + std::to_string(longer_) + "; the first line counts, as in kohya's scripts (for one, " +
                    longer_example_ + ")");
    if (both_ > 0) out.push_back("pictures that have a .txt and a .caption: " + std::to_string(both_) + "; the .txt counts");
    for (const auto& [folder, count] : by_folder_)
      out.push_back(folder.string() + ": pictures without a caption of their own: " + std::to_string(count) + "; they get \"" + repeat_folder(folder)->caption +
                    "\", which kohya's scripts read in the folder's name");
    return out;
  }

 private:
  std::string read(const fs::path& file) {
    std::string whole = trimmed(read_text_file(file));
    if (whole.empty()) reject("the caption is empty", file.string(), "Write what the picture shows");
    const size_t end = whole.find('\n');
    if (end == std::string::npos) return whole;
    if (longer_++ == 0) longer_example_ = file.string();
    return trimmed(whole.substr(0, end));
  }

  int longer_ = 0, both_ = 0;
  std::string longer_example_;
  std::map<fs::path, int> by_folder_;
};

// "12 .parquet, 3 .tar": what a folder holds in place of pictures.
std::string kinds_of(const std::vector<fs::path>& files) {
  std::map<std::string, int> counts;
  for (const auto& file : files) ++counts[file.has_extension() ? file.extension().string() : file.filename().string()];
  std::vector<std::pair<int, std::string>> most;
  for (const auto& [kind, count] : counts) most.emplace_back(-count, kind);
  std::sort(most.begin(), most.end());
  std::string out;
  for (size_t i = 0; i < most.size() && i < 4; ++i) out += (i > 0 ? ", " : "") + std::to_string(-most[i].first) + " " + most[i].second;
  return out;
}

}  // namespace

PictureSet read_picture_set(const fs::path& folder, double held_out, const ProgressCallback& progress, const CancelToken& cancel) {
  if (!fs::is_directory(folder)) reject("there is no such folder of pictures", folder.string());
  PictureSet out;
  std::map<fs::path, std::string> captions;
  std::set<fs::path> pictures;
  const auto files = files_below(folder, out.faults);
  int documents = 0;  // JSON, of which sd-scripts' meta_cap.json is one
  for (const fs::path& file : files) {
    if (is_caption_list(file)) {
      auto read = attempt([&] { return read_caption_list(file, out.faults); });
      if (!read) {
        out.faults.push_back(read.error().message());
        continue;
      }
      captions.merge(*read);
      for (const auto& [picture, caption] : *read) out.faults.push_back(file.string() + ": " + picture.string() + " has a caption already, which is kept");
    }
    if (has_picture_name(file)) pictures.insert(file);
    if (file.extension() == ".json" && ++documents <= 3)
      out.faults.push_back(file.string() + ": captions are not read from such a file; write a metadata.jsonl, or a .txt beside each picture");
    if (has_other_picture_name(file)) out.faults.push_back(file.string() + ": this kind of picture is not read; save it as PNG, JPEG or WebP");
  }
  for (const auto& [picture, caption] : captions)
    if (!pictures.contains(picture)) out.faults.push_back(picture.string() + ": a list of captions names it, and it lies outside the folder");
  CaptionFiles beside;
  std::set<std::string> seen;
  std::map<fs::path, int> repeated;
  std::int64_t done = 0;
  for (const auto& file : pictures) {
    cancel.check();
    progress({"reading pictures", done++, static_cast<std::int64_t>(pictures.size())});
    const int repeats = repeat_folder(file.parent_path()).value_or(RepeatFolder{}).repeats;
    if (repeats == 0) {
      out.faults.push_back(file.string() + ": its folder's name says that it counts 0 times");
      continue;
    }
    const auto read = attempt([&] {
      const auto listed = captions.find(file);
      const std::string caption = listed != captions.end() ? listed->second : beside.caption_of(file);
      const torch::Tensor pixels = read_image(file);
      return CaptionedPicture{file, caption, sha256_file(file), pixels.size(2), pixels.size(1), repeats};
    });
    if (!read) {
      out.faults.push_back(read.error().message());
      continue;
    }
    CaptionedPicture picture = *read;
    if (!seen.insert(picture.hash + picture.caption).second) {
      out.faults.push_back(file.string() + ": the same picture with the same caption is there already");
      continue;
    }
    if (repeats > 1) repeated[file.parent_path()] = repeats;
    const double place = static_cast<double>(std::stoul(picture.hash.substr(0, 8), nullptr, 16)) / 4294967296.0;
    (place < held_out ? out.held_out : out.train).push_back(std::move(picture));
  }
  if (out.train.empty() && out.held_out.empty()) {
    std::string what = "the folder holds no picture with a caption";
    if (pictures.empty() && !files.empty()) what += "; it holds " + kinds_of(files);
    for (size_t i = 0; i < out.faults.size() && i < 5; ++i) what += "\n  " + out.faults[i];
    reject(what, folder.string(), "Put a metadata.jsonl, a metadata.csv, or a .txt or .caption beside each picture");
  }
  out.notes = beside.notes();
  for (const auto& [where, times] : repeated)
    out.notes.push_back(where.string() + ": each picture counts " + std::to_string(times) + " times, which kohya's scripts read in the folder's name");
  return out;
}

std::string PictureSet::sha256() const {
  std::string list;
  for (const auto* part : {&train, &held_out})
    for (const auto& one : *part) list += one.hash + " " + (one.repeats == 1 ? "" : std::to_string(one.repeats) + " ") + one.caption + "\n";
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
