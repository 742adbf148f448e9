#include "text/clip_tokenizer.h"

#include <map>

#include "core/error.h"
#include "core/unicode.h"
#include "io/config.h"
#include "io/files.h"
#include "text/byte_pairs.h"
#include "text/special_tokens.h"

namespace glyphscope {
namespace fs = std::filesystem;

namespace {

constexpr const char* kBegin = "<|startoftext|>";
constexpr const char* kEnd = "<|endoftext|>";

// CLIP's pattern: <|startoftext|>|<|endoftext|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+. transformers splits
// what the first two match once more, into "<|", the letters and "|>".
std::vector<std::vector<char32_t>> split_words(const std::vector<char32_t>& text) {
  std::vector<std::vector<char32_t>> words;
  auto other = [](char32_t code) { return !is_space(code) && !is_letter(code) && !is_number(code); };
  for (size_t at = 0; at < text.size();) {
    size_t end = at + 1;
    auto matches = [&](std::u32string_view suffix) { return std::u32string_view(text.data() + at, text.size() - at).starts_with(suffix); };
    const std::u32string_view contractions[] = {U"'s", U"'t", U"'re", U"'ve", U"'m", U"'ll", U"'d"};
    bool contraction = false, literal = false;
    for (std::u32string_view letters : {U"startoftext", U"endoftext"}) {
      if (!matches(U"<|" + std::u32string(letters) + U"|>")) continue;
      words.push_back({U'<', U'|'});
      words.emplace_back(letters.begin(), letters.end());
      words.push_back({U'|', U'>'});
      at += letters.size() + 4;
      literal = true;
      break;
    }
    if (literal) continue;
    for (auto suffix : contractions) {
      if (!matches(suffix)) continue;
      end = at + suffix.size();
      contraction = true;
      break;
    }
    if (!contraction) {
      if (is_space(text[at])) {
        ++at;
        continue;
      }
      if (is_letter(text[at])) {
        while (end < text.size() && is_letter(text[end])) ++end;
      } else if (!is_number(text[at])) {
        while (end < text.size() && other(text[end])) ++end;
      }
    }
    words.emplace_back(text.begin() + static_cast<std::ptrdiff_t>(at), text.begin() + static_cast<std::ptrdiff_t>(end));
    at = end;
  }
  return words;
}

std::string token_text(const nlohmann::json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() && value.contains("content") && value["content"].is_string()) return value["content"].get<std::string>();
  return {};
}

}  // namespace

ClipTokenizer::ClipTokenizer(std::unordered_map<std::string, std::int64_t> vocabulary, const std::vector<std::pair<std::string, std::string>>& merges,
                             std::int64_t max_length, const std::string& pad_token, const std::vector<AddedToken>& added)
    : vocabulary_(std::move(vocabulary)), max_length_(max_length) {
  ranks_ = merge_ranks(merges);
  auto id = [&](const std::string& token) {
    auto found = vocabulary_.find(token);
    if (found == vocabulary_.end()) reject("the vocabulary lacks the token '" + token + "'", "tokenizer");
    return found->second;
  };
  begin_ = id(kBegin);
  end_ = unknown_ = id(kEnd);
  pad_ = id(pad_token);
  for (const auto& token : added) {
    if (token.content.empty()) reject("an added token is empty", "tokenizer");
    id(token.content);
    (token.normalized ? normalized_ : raw_).push_back(token.content);
  }
  if (max_length_ < 2 || max_length_ > 65536) reject("model_max_length is " + std::to_string(max_length_) + ", expected 2 to 65536", "tokenizer");
}

ClipTokenizer ClipTokenizer::load(const fs::path& folder) {
  BytePairs pairs = BytePairs::read(folder);

  // transformers gathers its added tokens so: special_tokens_map.json before tokenizer_config.json; a token given as plain
  // text is looked for in the raw text; the one named last decides where two are the same.
  std::int64_t length = 77;
  std::string pad = kEnd;
  std::map<std::string, bool> added{{kBegin, true}, {kEnd, false}};
  nlohmann::json special, settings;
  if (fs::exists(folder / "special_tokens_map.json")) special = read_json(folder / "special_tokens_map.json");
  if (fs::exists(folder / "tokenizer_config.json")) settings = read_json(folder / "tokenizer_config.json");
  for (const char* key : {"bos_token", "eos_token", "unk_token", "pad_token"}) {
    const nlohmann::json token = special.contains(key) ? special[key] : settings.contains(key) ? settings[key] : nlohmann::json();
    if (!token.is_null() && !token.is_string() && !(token.is_object() && token.contains("content") && token["content"].is_string()))
      reject(std::string("'") + key + "' is " + token.dump().substr(0, 60) + ", a token was expected",
             (folder / (special.contains(key) ? "special_tokens_map.json" : "tokenizer_config.json")).string());
    if (token_text(token).empty()) continue;
    added[token_text(token)] = reading_json(folder, [&] { return token.is_object() && token.value("normalized", false); });
    if (std::string(key) == "pad_token") pad = token_text(token);
  }
  if (!pairs.added.empty()) added = pairs.added;
  // transformers writes 1e30 where a tokenizer knows no limit.
  if (!settings.is_null())
    if (const double most = Config(settings, (folder / "tokenizer_config.json").string()).number("model_max_length", 77, 2, 1e31); most < 65536)
      length = static_cast<std::int64_t>(most);
  std::vector<AddedToken> tokens;
  for (const auto& [content, normalized] : added) tokens.push_back({content, normalized});
  try {
    return ClipTokenizer(std::move(pairs.vocabulary), pairs.merges, length, pad, tokens);
  } catch (const Failure& failure) {
    reject(failure.error().what, folder.string());
  }
}

std::vector<std::string> ClipTokenizer::merge(const std::string& word) const {
  std::vector<std::string> parts;
  for (unsigned char byte : word) parts.push_back(byte_letters()[byte]);
  parts.back() += "</w>";
  return merge_pairs(std::move(parts), ranks_);
}

void ClipTokenizer::add_words(const std::string& normal, std::vector<Piece>& out) const {
  for (const auto& word : split_words(decode_utf8(normal))) {
    const std::string bytes = encode_utf8(word);
    size_t used = 0;
    for (const auto& part : merge(bytes)) {
      const size_t letters = decode_utf8(part.ends_with("</w>") ? part.substr(0, part.size() - 4) : part).size();
      auto found = vocabulary_.find(part);
      const bool ends = used + letters >= bytes.size();
      out.push_back({found == vocabulary_.end() ? unknown_ : found->second, bytes.substr(used, letters) + (ends ? " " : "")});
      used += letters;
    }
  }
}

std::vector<ClipTokenizer::Piece> ClipTokenizer::pieces(const std::string& text) const {
  std::vector<Piece> out;
  auto special = [&](const std::string& token) { out.push_back({vocabulary_.at(token), token}); };
  split_at(
      text, raw_,
      [&](const std::string& raw) {
        std::string normal;
        bool space = false;
        for (char32_t code : decode_utf8(normalize_nfc(raw))) {
          if (is_space(code)) {
            if (!space) normal += ' ';
            space = true;
            continue;
          }
          space = false;
          for (char32_t lower : to_lower(code)) append_utf8(normal, lower);
        }
        split_at(
            normal, normalized_, [&](const std::string& words) { add_words(words, out); }, special);
      },
      special);
  return out;
}

std::vector<std::int64_t> ClipTokenizer::encode(const std::string& text) const {
  std::vector<std::int64_t> ids;
  for (const auto& piece : pieces(text)) ids.push_back(piece.id);
  return ids;
}

Tokens ClipTokenizer::tokenize(const WeightedPrompt& prompt, std::int64_t length) const {
  if (length == 0) length = max_length_;
  Tokens out;
  out.ids.push_back(begin_);
  out.texts.emplace_back(kBegin);
  out.weights.push_back(1);
  for (const auto& part : prompt.pieces()) {
    for (const auto& piece : pieces(part.text)) {
      if (static_cast<std::int64_t>(out.ids.size()) + 1 < length) {
        out.ids.push_back(piece.id);
        out.texts.push_back(piece.text);
        out.weights.push_back(part.weight);
      } else {
        out.cut += piece.text;
      }
    }
  }
  if (out.cut.ends_with(' ')) out.cut.pop_back();
  out.ids.push_back(end_);
  out.texts.emplace_back(kEnd);
  out.ids.resize(static_cast<size_t>(length), pad_);
  out.texts.resize(static_cast<size_t>(length));
  out.weights.resize(static_cast<size_t>(length), 1);
  return out;
}

}  // namespace glyphscope
