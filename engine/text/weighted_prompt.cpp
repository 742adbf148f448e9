#include "text/weighted_prompt.h"

#include <array>
#include <charconv>
#include <optional>

#include "core/error.h"

namespace glyphscope {
namespace {

constexpr double kLargest = 10;
constexpr int kDeepest = 50;

// Whether the character at `at` makes a plain parenthesis of the next.
bool escapes(const std::string& text, size_t at) { return text[at] == '\\' && at + 1 < text.size() && (text[at + 1] == '(' || text[at + 1] == ')'); }

// Past the quotation that begins at `at`, or npos: what stands in double quotes is to be written as it stands, parentheses and all.
size_t past_quotation(const std::string& text, size_t at) {
  for (const auto& [open, close] : {std::pair<std::string_view, std::string_view>{"\"", "\""}, {"\u201c", "\u201d"}}) {
    if (text.compare(at, open.size(), open) != 0) continue;
    const size_t end = text.find(close, at + open.size());
    return end == std::string::npos ? end : end + close.size();
  }
  return std::string::npos;
}

// For each parenthesis that opens, the place of the one that closes it; npos for one that none closes, and for what is no parenthesis.
std::vector<size_t> closing_places(const std::string& text) {
  std::vector<size_t> out(text.size(), std::string::npos), open;
  for (size_t i = 0; i < text.size(); ++i) {
    if (const size_t past = past_quotation(text, i); past != std::string::npos) {
      i = past - 1;
    } else if (escapes(text, i)) {
      ++i;
    } else if (text[i] == '(') {
      open.push_back(i);
    } else if (text[i] == ')' && !open.empty()) {
      out[open.back()] = i;
      open.pop_back();
    }
  }
  return out;
}

// The number after the last colon of what parentheses hold, and where that colon is.
struct Weight {
  double value;
  size_t colon;
};
std::optional<Weight> weight_of(std::string_view inner) {
  const size_t colon = inner.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  size_t first = colon + 1, last = inner.size();
  while (first < last && inner[first] == ' ') ++first;
  while (last > first && inner[last - 1] == ' ') --last;
  double value = 0;
  const auto [end, error] = std::from_chars(inner.data() + first, inner.data() + last, value);
  if (error != std::errc() || end != inner.data() + last || first == last) return std::nullopt;
  return Weight{value, colon};
}

// A prompt's pieces, of which those in parentheses weigh more than what they stand in.
class Reader {
 public:
  explicit Reader(const std::string& text) : text_(text), closes_(closing_places(text)) { read(0, text.size(), 1, 0); }
  std::vector<WeightedPrompt::Piece> pieces;

 private:
  void add(char c, double weight) {
    if (pieces.empty() || pieces.back().weight != weight) pieces.push_back({"", weight});
    pieces.back().text += c;
  }
  void read(size_t begin, size_t end, double weight, int depth) {
    size_t quoted = begin;  // up to here
    for (size_t i = begin; i < end; ++i) {
      if (i >= quoted)
        if (const size_t past = past_quotation(text_, i); past != std::string::npos) quoted = past;
      if (escapes(text_, i)) {
        add(text_[++i], weight);
        continue;
      }
      const size_t close = i >= quoted ? closes_[i] : std::string::npos;
      const std::string_view inner = close == std::string::npos ? std::string_view() : std::string_view(text_).substr(i + 1, close - i - 1);
      const auto found = weight_of(inner);
      if (!found) {
        add(text_[i], weight);
        continue;
      }
      const double product = weight * found->value;
      if (!(product >= 0 && product <= kLargest))
        reject("the weight of '" + std::string(inner.substr(0, found->colon)) + "' is " + std::to_string(product), "prompt",
               "Weights go from 0 to 10; \\( is a parenthesis that holds none");
      if (depth >= kDeepest) reject("weights are nested deeper than " + std::to_string(kDeepest) + " levels", "prompt");
      read(i + 1, i + 1 + found->colon, product, depth + 1);
      i = close;
    }
  }

  const std::string& text_;
  std::vector<size_t> closes_;
};

}  // namespace

WeightedPrompt::WeightedPrompt(std::vector<Piece> pieces) : pieces_(std::move(pieces)) {
  if (pieces_.empty()) pieces_.push_back({});
}

WeightedPrompt WeightedPrompt::parse(const std::string& prompt) { return WeightedPrompt(Reader(prompt).pieces); }

std::string WeightedPrompt::prompt() const {
  std::string out;
  for (const auto& piece : pieces_) {
    // A backslash at its end would take the next parenthesis for itself.
    if (piece.weight == 1 && !piece.text.ends_with('\\')) {
      out += verbatim(piece.text);
      continue;
    }
    std::array<char, 32> number{};
    const auto written = std::to_chars(number.data(), number.data() + number.size(), piece.weight);  // the shortest that reads as it
    out += "(" + verbatim(piece.text) + ":" + std::string(number.data(), written.ptr) + ")";
  }
  return out;
}

std::string verbatim(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '(' || c == ')') out += '\\';
    out += c;
  }
  return out;
}

std::string WeightedPrompt::text() const {
  std::string out;
  for (const auto& piece : pieces_) out += piece.text;
  return out;
}

double WeightedPrompt::weight_at(size_t byte) const {
  for (const auto& piece : pieces_) {
    if (byte < piece.text.size()) return piece.weight;
    byte -= piece.text.size();
  }
  return pieces_.back().weight;
}

}  // namespace glyphscope
