#include "text/tokenizer.h"

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/unicode.h"
#include "io/json.h"

namespace glyphscope {
namespace {

// Letters, marks, digits and the underscore, as regular expressions have it.
bool is_word(char32_t code) { return is_letter(code) || is_number(code) || is_nonspacing_mark(code) || code == U'_'; }

// The code points before and after a place, 0 at the ends.
char32_t before(const std::string& text, size_t at) {
  size_t begin = at;
  while (begin > 0 && (static_cast<unsigned char>(text[--begin]) & 0xC0) == 0x80) {
  }
  return at == 0 ? 0 : decode_utf8(std::string_view(text).substr(begin, at - begin)).back();
}
char32_t after(const std::string& text, size_t at) { return at >= text.size() ? 0 : decode_utf8(std::string_view(text).substr(at, 4)).front(); }
size_t size_of(char32_t code) {
  std::string text;
  append_utf8(text, code);
  return text.size();
}

// Takes a text apart at added tokens, leftmost first and the longest where several begin: between(text), and found(token).
void split_at(const std::string& text, const std::vector<Tokenizer::AddedToken>& tokens, const std::function<void(const std::string&)>& between,
              const std::function<void(const Tokenizer::AddedToken&)>& found) {
  size_t at = 0, looked = 0;
  while (at < text.size()) {
    size_t first = std::string::npos;
    const Tokenizer::AddedToken* token = nullptr;
    for (const auto& candidate : tokens) {
      const size_t place = text.find(candidate.content, looked);
      if (place != std::string::npos && (!token || place < first || (place == first && candidate.content.size() > token->content.size())))
        first = place, token = &candidate;
    }
    if (!token) break;
    size_t end = first + token->content.size();
    if (token->single_word && (is_word(before(text, first)) || is_word(after(text, end)))) {
      looked = end;
      continue;
    }
    size_t begin = first;
    if (token->lstrip)
      while (begin > at && is_space(before(text, begin))) begin -= size_of(before(text, begin));
    if (token->rstrip)
      while (end < text.size() && is_space(after(text, end))) end += size_of(after(text, end));
    if (begin > at) between(text.substr(at, begin - at));
    found(*token);
    at = looked = end;
  }
  if (at < text.size()) between(text.substr(at));
}

}  // namespace

std::string part_type(const nlohmann::json& part) {
  return part.is_object() && part.contains("type") && part["type"].is_string() ? part["type"].get<std::string>() : "?";
}

Tokenizer::Tokenizer(const nlohmann::json& document, const std::string& where, std::shared_ptr<const Model> model) : model_(std::move(model)) {
  try {
    const auto part = [&](const char* name) { return document.contains(name) ? document.at(name) : nlohmann::json(); };
    if (!model_) model_ = make_token_model(document.at("model"), where);
    normalize_ = make_normalizer(part("normalizer"), where);
    split_ = make_splitter(part("pre_tokenizer"), where);
    if (!part("added_tokens").is_null())
      for (const auto& one : document.at("added_tokens")) {
        AddedToken token{one.at("content").get<std::string>(), one.at("id").get<std::int64_t>(), one.value("normalized", false),
                         one.value("single_word", false),      one.value("lstrip", false),       one.value("rstrip", false)};
        if (token.content.empty()) reject("an added token is empty", where, "The file is damaged");
        if (token.id < 0) reject("the id of the added token '" + token.content + "' is below 0", where, "The file is damaged");
        if (token.normalized) token.content = normalize_(token.content);
        (token.normalized ? normalized_ : raw_).push_back(std::move(token));
      }
  } catch (const nlohmann::json::exception& error) {
    reject("this is no tokenizer as the tokenizers library writes one: " + json_message(error), where, "The file is damaged");
  }
}

void Tokenizer::add_words(const std::string& text, bool begins, std::vector<Piece>& out) const {
  for (const auto& word : split_({text}, begins)) model_->add(word, out);
}

std::vector<Tokenizer::Piece> Tokenizer::pieces(const std::string& given, bool finds_added) const {
  const std::string text = encode_utf8(decode_utf8(given));
  std::vector<Piece> out;
  bool begins = true;
  const auto found = [&](const AddedToken& token) {
    out.push_back({token.id, token.content});
    begins = false;
  };
  static const std::vector<AddedToken> none;
  split_at(
      text, finds_added ? raw_ : none,
      [&](const std::string& raw) {
        split_at(
            normalize_(raw), finds_added ? normalized_ : none,
            [&](const std::string& words) {
              add_words(words, begins, out);
              begins = false;
            },
            found);
      },
      found);
  return out;
}

std::optional<std::int64_t> Tokenizer::id(const std::string& token) const {
  for (const auto* list : {&raw_, &normalized_})
    for (const auto& one : *list)
      if (one.content == token) return one.id;
  return model_->id(token);
}

std::size_t Tokenizer::vocabulary_size() const {
  std::size_t out = model_->size();
  for (const auto* list : {&raw_, &normalized_})
    for (const auto& one : *list) out = std::max(out, static_cast<std::size_t>(one.id) + 1);
  return out;
}

}  // namespace glyphscope
