#include <tesseract/baseapi.h>

#include <algorithm>
#include <opencv2/imgproc.hpp>

#include "core/error.h"
#include "core/unicode.h"
#include "metrics/ocr.h"

namespace glyphscope {
namespace {

class Tesseract : public TextReader {
 public:
  Tesseract() {
    if (api_.Init(nullptr, "eng") != 0) reject("Tesseract has no English language data (eng.traineddata)", "", "Install Debian's package tesseract-ocr-eng");
    api_.SetPageSegMode(tesseract::PSM_SPARSE_TEXT);
    api_.SetVariable("debug_file", "/dev/null");
  }
  ~Tesseract() override { api_.End(); }

  std::string name() const override { return std::string("Tesseract ") + tesseract::TessBaseAPI::Version(); }

  std::vector<TextPiece> read(const torch::Tensor& image) override {
    std::vector<TextPiece> pieces = read_faint(image);
    std::erase_if(pieces, [](const TextPiece& piece) { return piece.confidence < 0.3; });
    return pieces;
  }

  // Of English text: letters of Latin scripts.
  bool knows(const std::string& text) const override {
    const std::vector<char32_t> codes = decode_utf8(text);
    return std::all_of(codes.begin(), codes.end(), [](char32_t code) { return code < 0x250; });
  }

  std::vector<TextPiece> read_faint(const torch::Tensor& image) override {
    // Tesseract wants letters of some 30 pixels: small images are enlarged.
    const torch::Tensor pixels = image.permute({1, 2, 0}).contiguous();
    const cv::Mat original(static_cast<int>(pixels.size(0)), static_cast<int>(pixels.size(1)), CV_8UC3, pixels.data_ptr());
    const double scale = std::max(1.0, 512.0 / std::min(original.rows, original.cols));
    cv::Mat page;
    cv::resize(original, page, {}, scale, scale, cv::INTER_CUBIC);
    api_.SetImage(page.data, page.cols, page.rows, 3, static_cast<int>(page.step));
    api_.SetSourceResolution(96);
    std::vector<TextPiece> pieces;
    if (api_.Recognize(nullptr) != 0) return pieces;
    std::unique_ptr<tesseract::ResultIterator> word(api_.GetIterator());
    if (!word) return pieces;
    do {
      std::unique_ptr<char[]> text(word->GetUTF8Text(tesseract::RIL_WORD));
      const double confidence = word->Confidence(tesseract::RIL_WORD) / 100.0;
      int left = 0, top = 0, right = 0, bottom = 0;
      if (!text || !word->BoundingBox(tesseract::RIL_WORD, &left, &top, &right, &bottom)) continue;
      auto back = [&](int at, int limit) { return std::clamp(static_cast<int>(at / scale), 0, limit); };
      pieces.push_back(
          {text.get(), confidence, {back(left, original.cols), back(top, original.rows), back(right, original.cols), back(bottom, original.rows)}});
    } while (word->Next(tesseract::RIL_WORD));
    return pieces;
  }

 private:
  tesseract::TessBaseAPI api_;
};

}  // namespace

std::unique_ptr<TextReader> make_tesseract_reader() { return std::make_unique<Tesseract>(); }

}  // namespace glyphscope
