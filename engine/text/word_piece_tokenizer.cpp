#include "text/word_piece_tokenizer.h"

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "text/tokenizer_files.h"

namespace glyphscope {

WordPieceTokenizer WordPieceTokenizer::load(const std::filesystem::path& folder) {
  return {Tokenizer(read_bert_tokenizer(folder), folder.string()), folder.string()};
}

WordPieceTokenizer::WordPieceTokenizer(Tokenizer tokenizer, const std::string& where) : tokenizer_(std::move(tokenizer)) {
  const auto id = [&](const char* token) {
    const auto found = tokenizer_.id(token);
    if (!found) reject(std::string("the vocabulary has no ") + token, where);
    return *found;
  };
  pad_ = id("[PAD]");
  begin_ = id("[CLS]");
  end_ = id("[SEP]");
}

std::vector<std::int64_t> WordPieceTokenizer::encode(const std::string& text) const {
  std::vector<std::int64_t> ids;
  for (const auto& piece : tokenizer_.pieces(text)) ids.push_back(piece.id);
  return ids;
}

Tokens WordPieceTokenizer::tokenize(const WeightedPrompt& prompt, std::int64_t length) const {
  Tokens out;
  const auto room = static_cast<size_t>(length - 2);
  out.ids.push_back(begin_);
  out.weights.push_back(1);
  for (const auto& part : prompt.pieces()) {
    for (const auto& piece : tokenizer_.pieces(part.text)) {
      if (out.ids.size() <= room) {
        out.ids.push_back(piece.id);
        out.weights.push_back(part.weight);
        continue;
      }
      const bool inner = piece.text.starts_with("##");
      out.cut += (out.cut.empty() || inner ? "" : " ") + (inner ? piece.text.substr(2) : piece.text);
    }
  }
  out.ids.push_back(end_);
  out.ids.resize(static_cast<size_t>(length), pad_);
  out.weights.resize(static_cast<size_t>(length), 1);
  return out;
}

}  // namespace glyphscope
