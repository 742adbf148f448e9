#pragma once

#include <filesystem>

namespace glyphscope {

/// Where the OCR models lie: $GLYPHSCOPE_OCR_MODELS, else beside the program's other resources, as packages have them, else where packaging/setup.sh unpacked
/// them.
std::filesystem::path ocr_model_folder();

}  // namespace glyphscope
