#pragma once

#include <filesystem>

namespace glyphscope {

/// Where the OCR models lie: $GLYPHSCOPE_OCR_MODELS, else where packaging/setup.sh unpacked them.
std::filesystem::path ocr_model_folder();

}  // namespace glyphscope
