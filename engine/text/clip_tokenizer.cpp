#include "text/clip_tokenizer.h"

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/config.h"
#include "io/files.h"
#include "text/tokenizer_files.h"

namespace glyphscope {
namespace fs = std::filesystem;

namespace {

constexpr const char* kBegin = "<|startoftext|>";
constexpr const char* kEnd = "<|endoftext|>";

// The piece of text that it stands for, with a space after a word.
std::string text_of(const Tokenizer::Piece& piece) {
  const std::string end = "</w>";
  return piece.text.ends_with(end) ? bytes_of_letters(piece.text.substr(0, piece.text.size() - end.size())) + " " : bytes_of_letters(piece.text);
}

std::string token_text(const nlohmann::json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() && value.contains("content") && value["content"].is_string()) return value["content"].get<std::string>();
  return {};
}

}  // namespace

ClipTokenizer::ClipTokenizer(Tokenizer tokenizer, std::int64_t max_length, const std::string& pad, const std::string& where)
    : tokenizer_(std::move(tokenizer)), max_length_(max_length) {
  const auto id = [&](const std::string& token) {
    const auto found = tokenizer_.id(token);
    if (!found) reject("the vocabulary lacks the token '" + token + "'", where);
    return *found;
  };
  begin_ = id(kBegin);
  end_ = id(kEnd);
  pad_ = id(pad);
}

ClipTokenizer ClipTokenizer::load(const fs::path& folder) {
  Tokenizer tokenizer = read_clip_tokenizer(folder);
  std::int64_t length = 77;
  std::string pad = kEnd;
  for (const char* file : {"tokenizer_config.json", "special_tokens_map.json"}) {
    if (!fs::exists(folder / file)) continue;
    const nlohmann::json settings = read_json(folder / file);
    if (const std::string own = settings.contains("pad_token") ? token_text(settings["pad_token"]) : std::string(); !own.empty()) pad = own;
    // transformers writes 1e30 where a tokenizer knows no limit.
    if (const double most = Config(settings, (folder / file).string()).number("model_max_length", 77, 2, 1e31);
        most < 65536 && settings.contains("model_max_length"))
      length = static_cast<std::int64_t>(most);
  }
  return {std::move(tokenizer), length, pad, folder.string()};
}

std::vector<std::int64_t> ClipTokenizer::encode(const std::string& text) const {
  std::vector<std::int64_t> ids;
  for (const auto& piece : tokenizer_.pieces(text)) ids.push_back(piece.id);
  return ids;
}

Tokens ClipTokenizer::tokenize(const WeightedPrompt& prompt, std::int64_t length) const {
  if (length == 0) length = max_length_;
  Tokens out;
  out.ids.push_back(begin_);
  out.texts.emplace_back(kBegin);
  out.weights.push_back(1);
  for (const auto& part : prompt.pieces()) {
    for (const auto& piece : tokenizer_.pieces(part.text)) {
      if (static_cast<std::int64_t>(out.ids.size()) + 1 < length) {
        out.ids.push_back(piece.id);
        out.texts.push_back(text_of(piece));
        out.weights.push_back(part.weight);
      } else {
        out.cut += text_of(piece);
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
