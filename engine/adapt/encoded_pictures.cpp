#include "adapt/encoded_pictures.h"

#include <torch/types.h>

#include <algorithm>
#include <map>

#include "core/error.h"
#include "core/option.h"
#include "io/image_file.h"
#include "io/safetensors.h"
#include "io/weights.h"
#include "text/weighted_prompt.h"

namespace glyphscope {
namespace fs = std::filesystem;

namespace {

// The tensor of that name, or an undefined one.
torch::Tensor tensor(const SafetensorsFile& file, const char* name) { return file.entries().contains(name) ? file.tensor(name).clone() : torch::Tensor(); }

// Whether the file is there, and whole.
bool is_whole(const fs::path& file, const char* needed) {
  return fs::exists(file) && attempt([&] { (void)SafetensorsFile(file).tensor(needed); });
}

void write(const fs::path& file, const std::vector<std::pair<std::string, torch::Tensor>>& named) {
  std::map<std::string, torch::Tensor> tensors;
  for (const auto& [name, one] : named)
    if (one.defined()) tensors[name] = one.contiguous();
  write_safetensors(file, tensors);
}

}  // namespace

EncodedPictures::EncodedPictures(Pipeline& pipeline, Trainable& trainable, std::int64_t resolution, fs::path cache)
    : pipeline_(pipeline), trainable_(trainable), cache_(std::move(cache)) {
  const ModelInfo& model = pipeline.info();
  const std::int64_t multiple = model.size_multiple;
  if (resolution == 0) resolution = model.default_width;
  if (resolution % multiple != 0)
    reject("a resolution of " + std::to_string(resolution) + " does not go", option(Option::resolution),
           "It must be a multiple of " + std::to_string(multiple));
  // Sides change in steps of an eighth of the resolution, as far as the model allows: 64 pixels at 512.
  buckets_ = aspect_buckets(resolution, std::max(multiple, resolution / 8 / multiple * multiple));
  fs::create_directories(cache_);
}

std::vector<EncodedPictures::Sample> EncodedPictures::prepare(const std::vector<CaptionedPicture>& pictures, const ProgressCallback& progress,
                                                              const std::function<void(const std::string&)>& note, const CancelToken& cancel) {
  no_caption_ = encode_caption("", note);
  std::vector<Sample> out;
  const auto total = static_cast<std::int64_t>(pictures.size());
  for (const auto& picture : pictures) {
    cancel.check();
    const Bucket bucket = nearest_bucket(buckets_, picture.width, picture.height);
    const Crop crop = crop_of(picture.width, picture.height, bucket);
    const fs::path path = file("picture\n" + picture.hash + "\n" + std::to_string(bucket.width) + "x" + std::to_string(bucket.height));
    if (!is_whole(path, "mean")) {
      const torch::Tensor pixels = crop_to(read_image(picture.file), bucket);
      const FamilyModel::Signal signal = trainable_.encode_pixels((pixels.to(torch::kFloat32) / 127.5 - 1).unsqueeze(0));
      write(path, {{"mean", signal.mean}, {"deviation", signal.deviation}});
    }
    out.push_back({bucket,
                   {bucket.height, bucket.width, picture.height, picture.width, crop.top, crop.left},
                   path,
                   encode_caption(picture.caption, note),
                   picture.caption});
    progress({"encoding pictures and captions", static_cast<std::int64_t>(out.size()), total});
  }
  return out;
}

FamilyModel::Signal EncodedPictures::signal(const Sample& sample) const {
  const SafetensorsFile file(sample.signal);
  return {file.tensor("mean").clone(), tensor(file, "deviation")};
}

Conditioning EncodedPictures::conditioning(const Sample& sample, bool captioned) const {
  const SafetensorsFile file(captioned ? sample.caption : no_caption_);
  Conditioning out = trainable_.beside_caption(sample.size);
  out.embedding = file.tensor("embedding").clone();
  out.prompt_mask = tensor(file, "prompt_mask");
  out.pooled = tensor(file, "pooled");
  return out;
}

Conditioning EncodedPictures::conditioning_learning(const Sample& sample, bool captioned) const {
  Conditioning out = trainable_.beside_caption(sample.size);
  const Conditioning read = trainable_.condition_learning(captioned ? verbatim(sample.text) : "");
  out.embedding = read.embedding;
  out.prompt_mask = read.prompt_mask;
  out.pooled = read.pooled;
  return out;
}

fs::path EncodedPictures::file(const std::string& what) const {
  // The number changes with what is made of a picture or a caption.
  return cache_ / (sha256_text("2\n" + pipeline_.info().hash.text() + "\n" + pipeline_.info().dtype +
                               (pipeline_.info().device == "cpu" ? "" : "\n" + pipeline_.info().device) + "\n" + what) +
                   ".safetensors");
}

fs::path EncodedPictures::encode_caption(const std::string& caption, const std::function<void(const std::string&)>& note) {
  fs::path path = file("caption\n" + caption);
  if (!captions_.insert(path).second || is_whole(path, "embedding")) return path;
  std::vector<std::string> notes;
  const Conditioning read = trainable_.condition(verbatim(caption), notes);
  for (const auto& one : notes) note("\"" + caption + "\": " + one);
  write(path, {{"embedding", read.embedding}, {"prompt_mask", read.prompt_mask}, {"pooled", read.pooled}});
  return path;
}

}  // namespace glyphscope
