#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "metrics/ocr.h"
#include "metrics/scores.h"

namespace glyphscope {

/// What one picture reads and scores.
struct Measurement {
  std::string read;  ///< What OCR read.
  Scores scores;
};

/// Scores a picture against the source's picture and both texts; an empty one wants nothing written. pieces: what was read in it, and in the source's.
Measurement measure(const torch::Tensor& image, const std::vector<TextPiece>& pieces, const torch::Tensor& source_image,
                    const std::vector<TextPiece>& source_pieces, const std::string& source_text, const std::string& target_text);

/// Leaves out what is scored against a text that is empty: of prompts that ask for none.
void leave_out_unscored(Measurement& measured, const std::string& source_text, const std::string& target_text);

}  // namespace glyphscope
