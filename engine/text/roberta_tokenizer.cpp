#include "text/roberta_tokenizer.h"

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "text/tokenizer_files.h"

namespace glyphscope {

RobertaTokenizer RobertaTokenizer::load(const std::filesystem::path& folder) {
  return RobertaTokenizer(Tokenizer(read_roberta_tokenizer(folder), folder.string()), folder.string());
}

RobertaTokenizer::RobertaTokenizer(Tokenizer tokenizer, const std::string& where) : tokenizer_(std::move(tokenizer)) {
  const auto id = [&](const char* token) {
    const auto found = tokenizer_.id(token);
    if (!found) reject("the vocabulary lacks the token '" + std::string(token) + "'", where);
    return *found;
  };
  begin_ = id("<s>");
  end_ = id("</s>");
}

std::vector<std::int64_t> RobertaTokenizer::encode(const std::string& text, std::size_t length) const {
  std::vector<std::int64_t> ids{begin_};
  for (const auto& piece : tokenizer_.pieces(text, /*finds_added=*/false)) ids.push_back(piece.id);
  if (ids.size() + 1 > length) ids.resize(length - 1);
  ids.push_back(end_);
  return ids;
}

}  // namespace glyphscope
