#include "patching/token_groups.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "patching/word_tokens.h"

namespace glyphscope {

namespace {

constexpr std::pair<TokenGroup, const char*> kGroups[] = {
    {TokenGroup::text, "text"}, {TokenGroup::words, "words"}, {TokenGroup::marks, "marks"}, {TokenGroup::padding, "padding"}};
constexpr std::pair<TokenEncoder, const char*> kEncoders[] = {
    {TokenEncoder::clip, "clip"}, {TokenEncoder::t5, "t5"}, {TokenEncoder::bert, "bert"}, {TokenEncoder::chat, "chat"}};

bool contains(const std::vector<WordTokens>& runs, size_t run, std::int64_t place) {
  return place >= runs[run].begin && place < runs[run].begin + runs[run].length;
}

}  // namespace

const std::vector<TokenGroup>& all_token_groups() {
  static const std::vector<TokenGroup> all{TokenGroup::text, TokenGroup::words, TokenGroup::marks, TokenGroup::padding};
  return all;
}

std::string to_string(TokenGroup group) {
  return std::find_if(std::begin(kGroups), std::end(kGroups), [&](const auto& one) { return one.first == group; })->second;
}

TokenGroup parse_token_group(const std::string& name) {
  for (const auto& [group, known] : kGroups)
    if (name == known) return group;
  reject("unknown group of tokens '" + name + "'", "", "Known are text, words, marks and padding");
}

std::string to_string(TokenEncoder encoder) {
  return std::find_if(std::begin(kEncoders), std::end(kEncoders), [&](const auto& one) { return one.first == encoder; })->second;
}

TokenEncoder parse_token_encoder(const std::string& name) {
  for (const auto& [encoder, known] : kEncoders)
    if (name == known) return encoder;
  reject("unknown encoder '" + name + "'", "", "Known are clip, t5, bert and chat");
}

std::vector<TokenGroup> token_groups(const std::vector<WordTokens>& own, const std::vector<WordTokens>& seen, std::int64_t tokens) {
  std::vector<TokenGroup> out(static_cast<size_t>(tokens), TokenGroup::padding);
  for (size_t run = 0; run < own.size(); ++run)
    for (std::int64_t place = own[run].begin; place < std::min(tokens, own[run].begin + std::max(own[run].length, seen[run].length)); ++place) {
      const auto in = [&](const WordTokens& words) {
        const std::int64_t at = place - words.begin, lead = words.first.front(), end = lead + static_cast<std::int64_t>(words.ids.size());
        if (at >= words.text_begin && at < words.text_end) return TokenGroup::text;
        if (at < lead || (at >= end && at < end + words.trail)) return TokenGroup::marks;
        return at < end ? TokenGroup::words : TokenGroup::padding;
      };
      const TokenGroup a = in(own[run]), b = in(seen[run]);
      // The text counts for most, padding for least; a word beside the other's end is a word.
      TokenGroup& group = out[static_cast<size_t>(place)];
      for (const TokenGroup one : {TokenGroup::text, TokenGroup::words, TokenGroup::marks})
        if (a == one || b == one) {
          group = one;
          break;
        }
    }
  return out;
}

std::vector<bool> replaced_tokens(const std::vector<WordTokens>& own, const std::vector<WordTokens>& seen, std::int64_t tokens,
                                  const std::vector<TokenGroup>& groups, const std::vector<TokenEncoder>& encoders) {
  const std::vector<TokenGroup> all = token_groups(own, seen, tokens);
  std::vector<bool> out;
  for (std::int64_t place = 0; place < tokens; ++place) {
    bool read = encoders.empty();
    for (size_t run = 0; run < own.size(); ++run)
      read = read ||
             ((contains(own, run, place) || contains(seen, run, place)) && std::find(encoders.begin(), encoders.end(), own[run].encoder) != encoders.end());
    out.push_back(read && (groups.empty() || std::find(groups.begin(), groups.end(), all[static_cast<size_t>(place)]) != groups.end()));
  }
  return out;
}

}  // namespace glyphscope
