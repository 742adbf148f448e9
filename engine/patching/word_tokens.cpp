#include "patching/word_tokens.h"

#include <torch/types.h>

#include <algorithm>

#include "core/quoted_text.h"
#include "device/placement.h"

namespace glyphscope {

WordTokens find_words(TokenEncoder encoder, const std::string& text, std::int64_t begin, std::int64_t length, std::int64_t lead,
                      const std::function<std::vector<std::int64_t>(const std::string&)>& encode, std::int64_t trail) {
  constexpr const char* kSpaces = " \t\n\r\f\v";
  WordTokens out{.begin = begin, .length = length, .ids = encode(text), .words = {}, .first = {}, .encoder = encoder, .trail = trail};
  const std::vector<std::int64_t> whole = out.ids;
  const std::int64_t room = length - lead - trail;
  if (static_cast<std::int64_t>(out.ids.size()) > room) out.ids.resize(static_cast<size_t>(room));
  const auto tokens_before = [&](size_t byte) {
    const auto count = static_cast<std::int64_t>(encode(text.substr(0, byte)).size());
    return std::min(lead + count, length - trail);
  };
  out.first.push_back(lead);
  for (size_t at = text.find_first_not_of(kSpaces); at != std::string::npos;) {
    const size_t end = std::min(text.find_first_of(kSpaces, at), text.size());
    out.words.push_back(text.substr(at, end - at));
    out.first.push_back(tokens_before(end));
    at = text.find_first_not_of(kSpaces, end);
  }
  if (const auto quoted = quoted_range(text)) {
    // A beginning of the text has the tokens that the whole begins with, up to one that goes on beyond it.
    const auto shared = [&](size_t byte) {
      const std::vector<std::int64_t> part = encode(text.substr(0, byte));
      const auto differ = std::mismatch(part.begin(), part.end(), whole.begin(), whole.end()).first;
      return std::pair(static_cast<std::int64_t>(differ - part.begin()), differ == part.end());
    };
    const std::int64_t before = shared(quoted->first).first;
    const auto [upto, clean] = shared(quoted->second);
    out.text_begin = std::min(lead + before, length - trail);
    out.text_end = std::max(out.text_begin, std::min(lead + upto + (clean ? 0 : 1), length - trail));
  }
  return out;
}

namespace {

// Places in both of a longest common subsequence: of several the one that the authors' global alignment finds, where a match counts 1, a mismatch -1 and a
// gap nothing.
std::vector<std::pair<std::int64_t, std::int64_t>> common_tokens(const std::vector<std::int64_t>& a, const std::vector<std::int64_t>& b) {
  std::vector<std::vector<int>> longest(a.size() + 1, std::vector<int>(b.size() + 1, 0));
  for (size_t i = 1; i <= a.size(); ++i)
    for (size_t j = 1; j <= b.size(); ++j)
      longest[i][j] = std::max({longest[i][j - 1], longest[i - 1][j], longest[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 1 : -1)});
  std::vector<std::pair<std::int64_t, std::int64_t>> out;
  for (size_t i = a.size(), j = b.size(); i > 0 && j > 0;) {
    if (longest[i][j] == longest[i][j - 1])
      --j;
    else if (longest[i][j] == longest[i - 1][j])
      --i;
    else
      out.emplace_back(--i, --j);
  }
  return out;
}

}  // namespace

TokenAlignment align_tokens(const std::vector<WordTokens>& source, const std::vector<WordTokens>& target, std::int64_t tokens) {
  TokenAlignment out{torch::eye(tokens, on_host()), torch::ones({tokens}, on_host())};
  auto map = out.map.accessor<float, 2>();
  auto shared = out.shared.accessor<float, 1>();
  for (size_t run = 0; run < source.size(); ++run) {
    const WordTokens &from = source[run], &to = target[run];
    const std::int64_t begin = from.begin;
    // Of prompts that end in different places, the rest of the longer has no counterpart.
    const std::int64_t longer = std::max(from.length, to.length);
    out.map.slice(0, begin, begin + longer).zero_();
    out.shared.slice(0, begin, begin + longer).zero_();
    const auto give = [&](std::int64_t i, std::int64_t j, float weight) {
      map[begin + i][begin + j] = weight;
      shared[begin + j] = 1;
    };
    for (std::int64_t i = 0; i < from.first.front(); ++i) give(i, i, 1);
    const std::int64_t lead = from.first.front();
    if (from.words.size() != to.words.size())
      for (const auto& [i, j] : common_tokens(from.ids, to.ids)) give(lead + i, lead + j, 1);
    else
      for (size_t word = 0; word < from.words.size(); ++word) {
        const std::int64_t i = from.first[word], many = from.first[word + 1] - i, j = to.first[word], others = to.first[word + 1] - j;
        for (std::int64_t k = 0; k < many; ++k)
          for (std::int64_t l = 0; l < others; ++l)
            if (many != others || k == l) give(i + k, j + l, many == others ? 1 : 1 / static_cast<float>(others));
      }
    // The end of the text and the padding.
    for (std::int64_t i = from.first.back(), j = to.first.back(); i < from.length && j < to.length; ++i, ++j) give(i, j, 1);
  }
  return out;
}

}  // namespace glyphscope
