#pragma once

#include <torch/types.h>

#include <memory>
#include <string>
#include <vector>

#include "metrics/image_scores.h"

namespace glyphscope {

/// A piece of text found in an image.
struct TextPiece {
  std::string text;
  double confidence = 0;  ///< In [0, 1].
  Box box;                ///< Upright bounding box in the image's own pixels.
};

/// Reads the text of images. Not for use by several threads at once.
class TextReader {
 public:
  virtual ~TextReader() = default;
  /// image: [3, H, W] uint8 -> pieces in reading order (top to bottom, left to right).
  virtual std::vector<TextPiece> read(const torch::Tensor& image) = 0;
  /// The same with what the engine is not sure of: for those who must not miss a word.
  virtual std::vector<TextPiece> read_faint(const torch::Tensor& image) { return read(image); }
  /// Whether the engine knows all letters of a text.
  virtual bool knows(const std::string& text) const { return !text.empty(); }
  /// Engine and models, with versions: written into results.
  virtual std::string name() const = 0;
};

/// "ppocr": PP-OCRv4 run by OpenVINO, the default; "tesseract": Tesseract, English. Throws a Failure that names the model
/// file or language package that is missing.
std::unique_ptr<TextReader> make_text_reader(const std::string& engine = "ppocr");

/// The pieces joined by spaces.
std::string joined_text(const std::vector<TextPiece>& pieces);

/// What a reader cannot be trusted to read of these texts, as a sentence: texts with letters that it does not know, and single narrow letters, which no
/// detector finds. Empty if there is nothing.
std::string note_on_unreadable(const TextReader& reader, const std::vector<std::string>& texts);

std::unique_ptr<TextReader> make_ppocr_reader();
std::unique_ptr<TextReader> make_tesseract_reader();

}  // namespace glyphscope
