#include "metrics/ocr_models.h"

#include <cstdlib>

namespace glyphscope {

std::filesystem::path ocr_model_folder() {
  const char* folder = std::getenv("GLYPHSCOPE_OCR_MODELS");
  return folder ? folder : GLYPHSCOPE_OCR_MODELS;
}

}  // namespace glyphscope
