#include "metrics/text_scores.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <vector>

#include "core/unicode.h"

namespace glyphscope {

namespace {

std::vector<char32_t> normal_form(const std::string& text) {
  std::vector<char32_t> out;
  for (char32_t code : decode_utf8(fold_case(normalize_nfc(text)))) {
    if (!is_space(code)) {
      out.push_back(code);
    } else if (!out.empty() && out.back() != U' ') {
      out.push_back(U' ');
    }
  }
  if (!out.empty() && out.back() == U' ') out.pop_back();
  return out;
}

int levenshtein(const std::vector<char32_t>& a, const std::vector<char32_t>& b) {
  std::vector<int> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 0; i < a.size(); ++i) {
    int diagonal = row[0];
    row[0] = static_cast<int>(i) + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const int substituted = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({substituted, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

std::vector<char32_t> sorted_letters(std::vector<char32_t> text) {
  std::erase(text, U' ');
  std::sort(text.begin(), text.end());
  return text;
}

}  // namespace

TextScores score_text(const std::string& read, const std::string& wanted) {
  const auto a = normal_form(read), b = normal_form(wanted);
  std::map<char32_t, int> counts;
  for (char32_t code : b) ++counts[code];
  int common = 0;
  for (char32_t code : a) common += counts[code]-- > 0;

  TextScores out;
  out.precision = a.empty() ? (b.empty() ? 1 : 0) : static_cast<double>(common) / static_cast<double>(a.size());
  out.recall = b.empty() ? (a.empty() ? 1 : 0) : static_cast<double>(common) / static_cast<double>(b.size());
  out.f1 = out.precision + out.recall > 0 ? 2 * out.precision * out.recall / (out.precision + out.recall) : 0;
  out.exact = a == b;
  out.anagram = sorted_letters(a) == sorted_letters(b);
  out.edit_distance = levenshtein(a, b);
  return out;
}

}  // namespace glyphscope
