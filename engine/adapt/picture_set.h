#pragma once

#include <torch/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "core/progress.h"

namespace glyphscope {

/// A picture to learn from, and what it shows.
struct CaptionedPicture {
  std::filesystem::path file;
  std::string caption;
  std::string hash;  ///< SHA-256 of the file: the address of what is cached of it.
  std::int64_t width = 0, height = 0;
  int repeats = 1;  ///< How often it counts among the pictures that are learned from.
};

/// A folder of pictures with captions, in subfolders too, of any kind that read_image reads. A picture's caption is, of the first of these that is there:
/// - a line of Hugging Face's imagefolder: metadata.jsonl or metadata.csv, see read_caption_list;
/// - the first line of a text file beside it, as kohya's scripts read them: `.txt`, or `.caption`;
/// - the name of its folder, if that is one of kohya's: in "10_a red sign" every picture counts ten times.
struct PictureSet {
  std::vector<CaptionedPicture> train, held_out;
  std::vector<std::string> faults;  ///< A line for each file that is left out, and why.
  std::vector<std::string> notes;   ///< What was taken in a way that is not the only one.
  /// Of all pictures with their captions.
  std::string sha256() const;
};

/// Reads every picture once. Which are held out depends on their bytes alone: a share of about `held_out`, the same whatever is added to the
/// folder. Throws a Failure if no picture with a caption is there; a faulty file is listed instead.
PictureSet read_picture_set(
    const std::filesystem::path& folder, double held_out, const ProgressCallback& progress = [](const Progress&) {}, const CancelToken& cancel = {});

/// A size to train at.
struct Bucket {
  std::int64_t width = 0, height = 0;
  bool operator==(const Bucket&) const = default;
};

/// Sizes whose area is about resolution^2, of sides that are multiples of `multiple` and at most twice as long as each other; kohya's and
/// Stable Diffusion XL's way to keep aspects. By rising width.
std::vector<Bucket> aspect_buckets(std::int64_t resolution, std::int64_t multiple);

/// The one of these whose aspect is nearest to the picture's.
Bucket nearest_bucket(const std::vector<Bucket>& buckets, std::int64_t width, std::int64_t height);

/// What of a picture is learned from at a size: it is scaled until it covers the bucket, and cut in the middle.
struct Crop {
  std::int64_t width = 0, height = 0;  ///< Of the scaled picture.
  std::int64_t left = 0, top = 0;      ///< What is cut off of it, which SDXL reads.
};
Crop crop_of(std::int64_t width, std::int64_t height, const Bucket& bucket);

/// image: [3, H, W] uint8 -> [3, bucket.height, bucket.width] uint8, scaled by area average or cubic.
torch::Tensor crop_to(const torch::Tensor& image, const Bucket& bucket);

}  // namespace glyphscope
