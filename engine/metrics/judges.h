#pragma once

#include <torch/types.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "metrics/image_scores.h"
#include "metrics/judge_folders.h"
#include "metrics/scores.h"

namespace glyphscope {

/// A picture of a cell, and what it is scored against.
struct JudgedPicture {
  const torch::Tensor& image;   ///< [3, H, W], 0 to 255, of the host's,
  const torch::Tensor& source;  ///< as the source's.
  std::string target_prompt;    ///< Empty: there is none.
  std::string source_text, target_text;
  std::vector<Box> boxes;  ///< Where text stands, as OCR has found it in pictures of this place. None: it may be anywhere.
};

/// Models that score pictures beside OCR: what the user gives (CLIP-T and CLIP-I, the distance of DINO's features, LPIPS), and the small reader that ships.
/// fp32, on one device.
class Judges {
 public:
  /// Throws a Failure that says which folder lacks what.
  explicit Judges(const JudgeFolders& folders, torch::Device device = torch::kCPU);
  ~Judges();

  /// {"clip": SHA-256 of its weights and configurations, ..}; null without any.
  nlohmann::ordered_json describe() const;
  /// Adds their scores.
  void score(const JudgedPicture& picture, Scores& scores);
  /// How the reader's score of the target's text, less the source's, grows by each pixel: [3, H, W] fp32, the mean on the way from the source's picture to
  /// this, the target's own. Undefined without the reader, or where it does not know a letter of the texts.
  torch::Tensor towards_text(const JudgedPicture& target) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace glyphscope
