#include "text/t5_tokenizer.h"

#include <sentencepiece_processor.h>

#include <map>
#include <utility>

#include "core/error.h"
#include "core/unicode.h"
#include "io/config.h"
#include "io/files.h"
#include "text/sentence_piece_json.h"
#include "text/special_tokens.h"

namespace glyphscope {

T5Tokenizer::T5Tokenizer() : model_(std::make_unique<sentencepiece::SentencePieceProcessor>()) {}
T5Tokenizer::~T5Tokenizer() = default;
T5Tokenizer::T5Tokenizer(T5Tokenizer&&) noexcept = default;

T5Tokenizer T5Tokenizer::load(const std::filesystem::path& folder) {
  const auto file = folder / "spiece.model", json = folder / "tokenizer.json";
  T5Tokenizer out;
  std::map<std::string, std::int64_t> added;
  if (std::filesystem::exists(file)) {
    const std::string bytes = read_text(file);
    refuse_stand_in(file, std::string_view(bytes).substr(0, 256), bytes.size());
    if (const auto status = out.model_->LoadFromSerializedProto(bytes); !status.ok())
      reject("this is no SentencePiece model: " + status.ToString(), file.string(), "The file is damaged: download it again");
  } else if (std::filesystem::exists(json)) {
    SentencePieceJson read = SentencePieceJson::read(json);
    if (const auto status = out.model_->LoadFromSerializedProto(read.model); !status.ok())
      reject("its Unigram model cannot be used: " + status.ToString(), json.string(), "The file is damaged");
    if (!read.charsmap.empty()) out.charsmap_.emplace(read.charsmap, json.string());
    added = std::move(read.added);
    for (const auto& [token, id] : {std::pair{"<pad>", kPad}, {"</s>", kEnd}})
      if (const auto found = added.find(token); found == added.end() || found->second != id)
        reject(std::string("the token '") + token + "' is not number " + std::to_string(id), json.string(), "This is no tokenizer of T5");
  } else {
    reject("spiece.model or tokenizer.json is missing", folder.string(), "Copy it from the published model's folder");
  }
  std::int64_t extra = 100;
  if (const auto path = folder / "tokenizer_config.json"; std::filesystem::exists(path)) {
    const Config config = Config::read(path);
    extra = config.integer("extra_ids", 100);
    // transformers writes 1e30 where nobody set it.
    if (const double length = config.number("model_max_length", 1e30, 1, 1e31); length < out.max_length_) out.max_length_ = static_cast<std::int64_t>(length);
    if (out.max_length_ < 2) reject("model_max_length is " + std::to_string(out.max_length_), path.string());
  }
  if (extra < 0 || extra > 10000) reject("extra_ids is " + std::to_string(extra), (folder / "tokenizer_config.json").string());
  if (!added.empty()) {
    for (const auto& [token, id] : added) out.add_special(token, id);
    return out;
  }
  for (const char* token : {"<pad>", "</s>", "<unk>"}) out.add_special(token, out.model_->PieceToId(token));
  // The sentinels come after all pieces, the highest first.
  for (std::int64_t i = 0; i < extra; ++i) out.add_special("<extra_id_" + std::to_string(i) + ">", out.model_->GetPieceSize() + extra - 1 - i);
  return out;
}

void T5Tokenizer::add_special(const std::string& token, std::int64_t id) {
  special_.push_back(token);
  special_ids_[token] = id;
}

std::vector<T5Tokenizer::Token> T5Tokenizer::tokens(const std::string& text) const {
  std::vector<Token> out;
  size_t at = 0;
  auto add = [&](const std::string& given) {
    std::string part = given;
    std::vector<size_t> origin;
    if (charsmap_) {
      Charsmap::Text normal = charsmap_->apply(given);
      part.clear();
      // Words are split at white space of any kind.
      for (size_t i = 0; i < normal.text.size();) {
        size_t end = i + 1;
        while (end < normal.text.size() && (static_cast<unsigned char>(normal.text[end]) & 0xC0) == 0x80) ++end;
        const std::string letter = normal.text.substr(i, end - i), own = is_space(decode_utf8(letter)[0]) ? " " : letter;
        part += own;
        origin.insert(origin.end(), own.size(), normal.origin[i]);
        i = end;
      }
    }
    const auto encoded = model_->EncodeAsImmutableProto(part);
    for (size_t i = 0; i < encoded.pieces_size(); ++i) {
      const auto piece = encoded.pieces(static_cast<int>(i));
      // A piece may take the space before its word with it.
      const size_t begin = piece.begin() + (piece.begin() < piece.end() && part[piece.begin()] == ' ' ? 1 : 0);
      out.push_back({piece.id(), at + (charsmap_ ? begin < origin.size() ? origin[begin] : given.size() : begin)});
    }
    at += given.size();
  };
  auto special = [&](const std::string& token) {
    out.push_back({special_ids_.at(token), at});
    at += token.size();
  };
  split_at(text, special_, add, special);
  return out;
}

std::vector<std::int64_t> T5Tokenizer::encode(const std::string& text) const {
  std::vector<std::int64_t> ids;
  for (const auto& token : tokens(text)) ids.push_back(token.id);
  return ids;
}

Tokens T5Tokenizer::tokenize(const WeightedPrompt& prompt, std::int64_t length) const {
  Tokens out;
  for (const auto& token : tokens(prompt.text())) {
    out.ids.push_back(token.id);
    out.weights.push_back(prompt.weight_at(token.byte));
  }
  const auto room = static_cast<size_t>(length - 1);
  if (out.ids.size() > room) {
    std::vector<int> rest;
    for (size_t i = room; i < out.ids.size(); ++i)
      if (out.ids[i] < model_->GetPieceSize()) rest.push_back(static_cast<int>(out.ids[i]));
    out.cut = model_->DecodeIds(rest);
    if (out.cut.empty()) out.cut = "..";
    out.ids.resize(room);
    out.weights.resize(room);
  }
  out.ids.push_back(kEnd);
  out.ids.resize(static_cast<size_t>(length), kPad);
  out.weights.resize(static_cast<size_t>(length), 1);
  return out;
}

}  // namespace glyphscope
