#include "metrics/ocr.h"

#include "core/error.h"

namespace glyphscope {

std::unique_ptr<TextReader> make_text_reader(const std::string& engine) {
  if (engine == "ppocr") return make_ppocr_reader();
  if (engine == "tesseract") return make_tesseract_reader();
  reject("unknown OCR engine '" + engine + "'", "--ocr", "Known are ppocr and tesseract");
}

std::string joined_text(const std::vector<TextPiece>& pieces) {
  std::string out;
  for (const auto& piece : pieces) out += (out.empty() ? "" : " ") + piece.text;
  return out;
}

}  // namespace glyphscope
