#pragma once

#include <map>
#include <string>

#include "experiments/statistics.h"

namespace glyphscope {

/// What one way of drawing gives, over all prompts.
struct GuardMethod {
  std::string name;
  Score ssim;                           ///< To the image with nothing done.
  Score term_f1;                        ///< Characters of the term in what OCR reads, as metrics/text_scores.h has it.
  Score readable;                       ///< Share of images in which a listed term can be read;
  Score toxic;                          ///< Share of images whose text a classifier flags; without one, `readable`.
  Score replacement;                    ///< Share of images that read just as the replaced prompt's text; of prompts whose terms have replacements.
  Score replacement_f1;                 ///< Its characters in what OCR reads.
  double passes = 0;                    ///< Rows through the denoiser, of each image.
  double seconds = 0;                   ///< Of each image.
  std::map<std::string, int> outcomes;  ///< Of the guard: how often each way was the last.
};

}  // namespace glyphscope
