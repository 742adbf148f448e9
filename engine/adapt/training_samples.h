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
  struct Item {
    torch::Tensor image;              ///< [3, H, W] uint8
    std::string read;                 ///< By OCR, of a prompt with text.
    std::optional<double> exact, f1;  ///< Of a prompt with text: whether OCR reads the word exactly, 0 or 1, and character F1.
    std::optional<double> ssim;       ///< Of one without: structural similarity to the base model's picture.
  };
  struct Scores {
    std::vector<Item> items;  ///< In the prompts' order.
    /// Mean of one of an item's numbers, over those that have it.
    std::optional<double> mean(std::optional<double> Item::*number) const;
    std::vector<torch::Tensor> images() const;
  };

  /// Draws the pictures that drift is measured from: the pipeline must be the base model yet. sampling: steps, guidance, size; its prompts and rows
  /// are not read. The references must outlive it. Throws a Failure.
  TrainingSamples(Pipeline& pipeline, TextReader& reader, std::vector<std::string> prompts, const Request& sampling, std::uint64_t seed,
                  const ProgressCallback& progress, const CancelToken& cancel);

  /// The same pictures by the model as it is now. Throws a Failure.
  Scores draw(const ProgressCallback& progress, const CancelToken& cancel);

  const std::vector<std::string>& prompts() const { return prompts_; }
  /// The base model's pictures of the prompts without text.
  const std::vector<torch::Tensor>& base() const { return base_; }

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
