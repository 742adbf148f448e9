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

std::vector<std::u32string> words_of(const std::vector<char32_t>& text) {
  std::vector<std::u32string> out;
  bool inside = false;
  for (const char32_t code : text) {
    if (code != U' ' && !inside) out.emplace_back();
    inside = code != U' ';
    if (inside) out.back() += code;
  }
  return out;
}

struct Shares {
  double precision = 0, recall = 0, f1 = 0;
};

// Of what is in two lists, as multisets.
template <class T>
Shares shares(const std::vector<T>& read, const std::vector<T>& wanted) {
  std::map<T, int> counts;
  for (const T& one : wanted) ++counts[one];
  int common = 0;
  for (const T& one : read) common += counts[one]-- > 0;
  Shares out;
  out.precision = read.empty() ? (wanted.empty() ? 1 : 0) : static_cast<double>(common) / static_cast<double>(read.size());
  out.recall = wanted.empty() ? (read.empty() ? 1 : 0) : static_cast<double>(common) / static_cast<double>(wanted.size());
  out.f1 = out.precision + out.recall > 0 ? 2 * out.precision * out.recall / (out.precision + out.recall) : 0;
  return out;
}

std::vector<char32_t> sorted_letters(std::vector<char32_t> text) {
  std::erase(text, U' ');
  std::sort(text.begin(), text.end());
  return text;
}

}  // namespace

TextScores score_text(const std::string& read, const std::string& wanted) {
  const auto a = normal_form(read), b = normal_form(wanted);
  const Shares characters = shares(a, b), words = shares(words_of(a), words_of(b));
  TextScores out;
  out.precision = characters.precision;
  out.recall = characters.recall;
  out.f1 = characters.f1;
  out.word_precision = words.precision;
  out.word_recall = words.recall;
  out.word_f1 = words.f1;
  out.exact = a == b;
  out.anagram = sorted_letters(a) == sorted_letters(b);
  out.edit_distance = levenshtein(a, b);
  const size_t longer = std::max(a.size(), b.size());
  if (longer > 0) out.normalized_edit_distance = out.edit_distance / static_cast<double>(longer);
  return out;
}

}  // namespace glyphscope
