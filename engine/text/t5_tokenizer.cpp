#include "text/t5_tokenizer.h"

#include <sentencepiece_processor.h>

#include "core/error.h"
#include "io/config.h"

namespace glyphscope {

T5Tokenizer::T5Tokenizer() : model_(std::make_unique<sentencepiece::SentencePieceProcessor>()) {}
T5Tokenizer::~T5Tokenizer() = default;
T5Tokenizer::T5Tokenizer(T5Tokenizer&&) noexcept = default;

T5Tokenizer T5Tokenizer::load(const std::filesystem::path& folder) {
  const auto file = folder / "spiece.model";
  if (!std::filesystem::exists(file))
    reject("spiece.model is missing", folder.string(), "transformers 5 leaves it out when it saves: copy it from the published model's folder");
  T5Tokenizer out;
  if (const auto status = out.model_->Load(file.string()); !status.ok()) reject("this is no SentencePiece model: " + status.ToString(), file.string());
  std::int64_t extra = 100;
  if (const auto config = folder / "tokenizer_config.json"; std::filesystem::exists(config)) extra = Config::read(config).integer("extra_ids", 100);
  if (extra < 0 || extra > 10000) reject("extra_ids is " + std::to_string(extra), (folder / "tokenizer_config.json").string());
  for (const char* token : {"<pad>", "</s>", "<unk>"}) out.special_.emplace_back(token, out.model_->PieceToId(token));
  // The sentinels come after all pieces, the highest first.
  for (std::int64_t i = 0; i < extra; ++i) out.special_.emplace_back("<extra_id_" + std::to_string(i) + ">", out.model_->GetPieceSize() + extra - 1 - i);
  return out;
}

std::vector<std::int64_t> T5Tokenizer::encode(const std::string& text) const {
  std::vector<std::int64_t> ids;
  auto add = [&](const std::string& piece) {
    for (int id : model_->EncodeAsIds(piece)) ids.push_back(id);
  };
  size_t at = 0;
  while (at < text.size()) {
    size_t next = std::string::npos;
    const std::pair<std::string, std::int64_t>* found = nullptr;
    for (const auto& token : special_)
      if (const size_t place = text.find(token.first, at); place < next) next = place, found = &token;
    if (!found) break;
    add(text.substr(at, next - at));
    ids.push_back(found->second);
    at = next + found->first.size();
  }
  add(text.substr(std::min(at, text.size())));
  return ids;
}

Tokens T5Tokenizer::tokenize(const std::string& prompt, std::int64_t length) const {
  Tokens out;
  out.ids = encode(prompt);
  const auto room = static_cast<size_t>(length - 1);
  if (out.ids.size() > room) {
    std::vector<int> rest;
    for (size_t i = room; i < out.ids.size(); ++i)
      if (out.ids[i] < model_->GetPieceSize()) rest.push_back(static_cast<int>(out.ids[i]));
    out.cut = model_->DecodeIds(rest);
    if (out.cut.empty()) out.cut = "..";
    out.ids.resize(room);
  }
  out.ids.push_back(kEnd);
  out.ids.resize(static_cast<size_t>(length), kPad);
  return out;
}

}  // namespace glyphscope
