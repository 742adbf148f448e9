#pragma once

#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "adapt/picture_set.h"
#include "core/progress.h"
#include "pipelines/pipeline.h"
#include "pipelines/trainable.h"

namespace glyphscope {

/// Pictures and captions as a denoiser reads them, in files: addressed by the model and by what they are of, so that a second training finds
/// them; read when they are needed, so that a data set may be larger than memory.
class EncodedPictures {
 public:
  struct Sample {
    Bucket bucket;
    PictureSize size;
    std::filesystem::path signal, caption;  ///< Files of the cache.
    std::string text;                       ///< The caption.
  };

  /// resolution: pixels a side of a square picture; 0: the model's own size. Throws a Failure for one that the model cannot have.
  EncodedPictures(Pipeline& pipeline, Trainable& trainable, std::int64_t resolution, std::filesystem::path cache);

  /// Encodes what the cache lacks, or holds damaged. Captions are read as they stand, parentheses are no weights. Throws a Failure.
  std::vector<Sample> prepare(const std::vector<CaptionedPicture>& pictures, const ProgressCallback& progress,
                              const std::function<void(const std::string&)>& note, const CancelToken& cancel);

  FamilyModel::Signal signal(const Sample& sample) const;
  /// Names what the denoiser reads: equal for equal captions.
  std::string caption(const Sample& sample, bool captioned = true) const { return (captioned ? sample.caption : no_caption_).string(); }
  /// One row; of the empty caption, if it is not `captioned`.
  Conditioning conditioning(const Sample& sample, bool captioned = true) const;
  /// The same as text encoders that are trained say it now, with its graph.
  Conditioning conditioning_learning(const Sample& sample, bool captioned = true) const;

 private:
  std::filesystem::path file(const std::string& what) const;
  std::filesystem::path encode_caption(const std::string& caption, const std::function<void(const std::string&)>& note);

  Pipeline& pipeline_;
  Trainable& trainable_;
  std::filesystem::path cache_, no_caption_;
  std::vector<Bucket> buckets_;
  std::set<std::filesystem::path> captions_;  // that are known to be there
};

}  // namespace glyphscope
