#include "text/roberta_tokenizer.h"

#include "core/error.h"
#include "core/unicode.h"
#include "text/byte_pairs.h"

namespace glyphscope {

namespace {

// GPT-2's pattern: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
std::vector<std::u32string> split_pretokens(const std::u32string& text) {
  const auto other = [](char32_t code) { return !is_space(code) && !is_letter(code) && !is_number(code); };
  std::vector<std::u32string> words;
  for (size_t at = 0; at < text.size();) {
    size_t end = at;
    for (const std::u32string_view suffix : {U"'s", U"'t", U"'re", U"'ve", U"'m", U"'ll", U"'d"})
      if (end == at && std::u32string_view(text).substr(at).starts_with(suffix)) end = at + suffix.size();
    if (end == at) {
      const auto run = [&](auto&& belongs) {
        while (end < text.size() && belongs(text[end])) ++end;
      };
      if (text[at] == U' ' && at + 1 < text.size() && !is_space(text[at + 1])) ++end;
      if (is_letter(text[end])) {
        run(is_letter);
      } else if (is_number(text[end])) {
        run(is_number);
      } else if (other(text[end])) {
        run(other);
      } else {
        run(is_space);
        if (end < text.size() && end - at > 1) --end;  // the last space belongs to the next word
      }
    }
    words.push_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

}  // namespace

RobertaTokenizer RobertaTokenizer::load(const std::filesystem::path& folder) {
  BytePairs pairs = BytePairs::read(folder);
  RobertaTokenizer out;
  out.vocabulary_ = std::move(pairs.vocabulary);
  out.ranks_ = merge_ranks(pairs.merges);
  const auto id = [&](const char* token) {
    const auto found = out.vocabulary_.find(token);
    if (found == out.vocabulary_.end()) reject("the vocabulary lacks the token '" + std::string(token) + "'", folder.string());
    return found->second;
  };
  out.begin_ = id("<s>");
  out.end_ = id("</s>");
  out.unknown_ = id("<unk>");
  return out;
}

std::vector<std::int64_t> RobertaTokenizer::encode(const std::string& text, std::size_t length) const {
  std::vector<std::int64_t> ids{begin_};
  const std::vector<char32_t> codes = decode_utf8(text);
  for (const auto& word : split_pretokens({codes.begin(), codes.end()})) {
    std::vector<std::string> parts;
    for (const unsigned char byte : encode_utf8({word.begin(), word.end()})) parts.push_back(byte_letters()[byte]);
    for (const auto& part : merge_pairs(std::move(parts), ranks_)) {
      const auto found = vocabulary_.find(part);
      ids.push_back(found == vocabulary_.end() ? unknown_ : found->second);
    }
  }
  if (ids.size() + 1 > length) ids.resize(length - 1);
  ids.push_back(end_);
  return ids;
}

}  // namespace glyphscope
