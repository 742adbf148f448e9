#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/progress.h"
#include "experiments/statistics.h"
#include "metrics/ocr.h"
#include "pipelines/pipeline.h"

namespace glyphscope {

/// How well pictures show what their prompts ask for.
struct SignScores {
  Score word_accuracy;        ///< Share of words that OCR reads exactly, case-folded.
  Score ocr_f1;               ///< Character F1, mean over images.
  Score attributes_accuracy;  ///< Share of images with sign colour, wall colour and shape all right; only for sign prompts.
};

struct Evaluation {
  SignScores model;
  SignScores ceiling;  ///< The same OCR and pixel check on true drawings of the same prompts; empty for other prompts.
  bool has_ceiling = false;
  struct Item {
    std::string prompt, wanted, read;
    bool attributes = true;
  };
  std::vector<Item> items;
  torch::Tensor sheet;  ///< The first images as one picture, [3, H, W] uint8.
  nlohmann::ordered_json to_json() const;
};

struct EvaluateSettings {
  std::vector<std::string> prompts;  ///< With the text in double quotes. Empty: signs with held-out words.
  int count = 200;                   ///< Signs to make where `prompts` is empty.
  std::uint64_t seed = 42;           ///< Image i has noise seed + i.
  Request sampling;
};

/// Throws a Failure.
Evaluation evaluate(Pipeline& pipeline, TextReader& reader, const EvaluateSettings& settings, const ProgressCallback& progress, const CancelToken& cancel);

}  // namespace glyphscope
