#pragma once

#include <torch/types.h>

#include <optional>
#include <string>
#include <vector>

#include "core/progress.h"
#include "metrics/ocr.h"
#include "pipelines/pipeline.h"

namespace glyphscope {

/// Pictures that show how a model changes while it is trained: prompts with text in double quotes tell how well it writes, those without how far
/// it has drifted. Picture i has noise seed + i, always.
class TrainingSamples {
 public:
  struct Scores {
    std::optional<double> word_accuracy, ocr_f1;  ///< Share of words read exactly, and mean character F1, over prompts with text.
    std::optional<double> ssim_to_base;           ///< Mean structural similarity to the base model's pictures, over prompts without.
    std::vector<torch::Tensor> images;            ///< In the prompts' order, [3, H, W] uint8.
  };

  /// Draws the pictures that drift is measured from: the pipeline must be the base model yet. sampling: steps, guidance, size; its prompts and rows
  /// are not read. The references must outlive it. Throws a Failure.
  TrainingSamples(Pipeline& pipeline, TextReader& reader, std::vector<std::string> prompts, const Request& sampling, std::uint64_t seed,
                  const ProgressCallback& progress, const CancelToken& cancel);

  /// The same pictures by the model as it is now. Throws a Failure.
  Scores draw(const ProgressCallback& progress, const CancelToken& cancel);

  const std::vector<std::string>& prompts() const { return prompts_; }

 private:
  std::vector<torch::Tensor> images(const std::vector<size_t>& chosen, const ProgressCallback& progress, const CancelToken& cancel);

  Pipeline& pipeline_;
  TextReader& reader_;
  std::vector<std::string> prompts_;
  Request sampling_;
  std::uint64_t seed_;
  std::vector<size_t> plain_;        // indices of prompts without text
  std::vector<torch::Tensor> base_;  // their pictures by the base model
};

}  // namespace glyphscope
