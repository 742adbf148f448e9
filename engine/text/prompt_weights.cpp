#include "text/prompt_weights.h"

#include <torch/torch.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "core/error.h"

namespace glyphscope {
namespace {

constexpr double kLargest = 10;

// The place of the parenthesis that closes the one at `open`, or npos.
size_t closing(const std::string& text, size_t open) {
  int depth = 0;
  for (size_t i = open; i < text.size(); ++i) {
    if (text[i] == '\\')
      ++i;
    else if (text[i] == '(')
      ++depth;
    else if (text[i] == ')' && --depth == 0)
      return i;
  }
  return std::string::npos;
}

// The number after the last colon of what parentheses hold, and where that colon is.
struct Weight {
  double value;
  size_t colon;
};
std::optional<Weight> weight_of(const std::string& inner) {
  const size_t colon = inner.rfind(':');
  if (colon == std::string::npos) return std::nullopt;
  size_t first = colon + 1, last = inner.size();
  while (first < last && inner[first] == ' ') ++first;
  while (last > first && inner[last - 1] == ' ') --last;
  double value = 0;
  const auto [end, error] = std::from_chars(inner.data() + first, inner.data() + last, value);
  if (error != std::errc() || end != inner.data() + last || first == last) return std::nullopt;
  return Weight{value, colon};
}

void read(const std::string& text, double weight, std::vector<WeightedPrompt::Piece>& out) {
  auto add = [&](char c) {
    if (out.empty() || out.back().weight != weight) out.push_back({"", weight});
    out.back().text += c;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == '(' || text[i + 1] == ')')) {
      add(text[++i]);
      continue;
    }
    const size_t close = text[i] == '(' ? closing(text, i) : std::string::npos;
    const std::string inner = close == std::string::npos ? "" : text.substr(i + 1, close - i - 1);
    const auto found = weight_of(inner);
    if (!found) {
      add(text[i]);
      continue;
    }
    const double product = weight * found->value;
    if (!(product >= 0 && product <= kLargest))
      reject("the weight of '" + inner.substr(0, found->colon) + "' is " + std::to_string(product), "prompt",
             "Weights go from 0 to 10; \\( is a parenthesis that holds none");
    read(inner.substr(0, found->colon), product, out);
    i = close;
  }
}

}  // namespace

WeightedPrompt WeightedPrompt::parse(const std::string& prompt) {
  WeightedPrompt out;
  read(prompt, 1, out.pieces_);
  if (out.pieces_.empty()) out.pieces_.push_back({});
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

bool even(const std::vector<double>& weights) {
  return std::all_of(weights.begin(), weights.end(), [](double weight) { return weight == 1; });
}

torch::Tensor weighted_states(const torch::Tensor& states, const torch::Tensor& empty, const std::vector<double>& weights) {
  const torch::Tensor factor = torch::tensor(weights, torch::kFloat64).to(states.dtype()).view({1, -1, 1});
  return torch::where(factor == 1, states, empty + (states - empty) * factor);
}

}  // namespace glyphscope
