#include "metrics/ocr.h"

#include <algorithm>

#include "core/error.h"
#include "core/option.h"

namespace glyphscope {

std::unique_ptr<TextReader> make_text_reader(const std::string& engine) {
  if (engine == "ppocr") return make_ppocr_reader();
  if (engine == "tesseract") return make_tesseract_reader();
  reject("unknown OCR engine '" + engine + "'", option(Option::ocr), "Known are ppocr and tesseract");
}

std::string note_on_unreadable(const TextReader& reader, const std::vector<std::string>& texts) {
  constexpr size_t kMost = 5;
  std::vector<std::string> unknown, narrow;
  const auto add = [](std::vector<std::string>& list, const std::string& text) {
    if (std::find(list.begin(), list.end(), text) == list.end()) list.push_back(text);
  };
  for (const auto& text : texts) {
    if (text.empty()) continue;
    if (!reader.knows(text)) add(unknown, text);
    if (text.size() == 1 && std::string("1Iil|!.,':;").find(text) != std::string::npos) add(narrow, text);
  }
  const auto listed = [&](const std::vector<std::string>& list) {
    std::string out;
    for (size_t i = 0; i < std::min(kMost, list.size()); ++i) out += (i == 0 ? "\"" : ", \"") + list[i] + "\"";
    return out + (list.size() > kMost ? " and " + std::to_string(list.size() - kMost) + " more" : "");
  };
  std::string out;
  if (!unknown.empty())
    out = reader.name() + " does not know all letters of " + listed(unknown) + ": what it reads of them cannot be right, nor what is scored by it";
  if (!narrow.empty()) out += (out.empty() ? reader.name() : "; and it") + " seldom finds a narrow letter that stands alone: " + listed(narrow);
  return out;
}

std::string joined_text(const std::vector<TextPiece>& pieces) {
  std::string out;
  for (const auto& piece : pieces) out += (out.empty() ? "" : " ") + piece.text;
  return out;
}

}  // namespace glyphscope
