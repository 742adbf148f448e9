#include "metrics/ocr_models.h"

#include <cstdlib>

#include "core/error.h"
#include "io/resources.h"

namespace glyphscope {

std::filesystem::path ocr_model_folder() {
  const char* folder = std::getenv("GLYPHSCOPE_OCR_MODELS");
  if (folder) return folder;
  const auto shipped = attempt([] { return resource("ocr"); });
  return shipped ? *shipped : GLYPHSCOPE_OCR_MODELS;
}

}  // namespace glyphscope
