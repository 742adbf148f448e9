#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>

#include "text/tokenizer.h"

/// A tokenizer's folder as a Tokenizer, or a document of one: its tokenizer.json, or what transformers makes of the files that older versions wrote.
namespace glyphscope {

/// vocab.json and merges.txt with the tokens of special_tokens_map.json and tokenizer_config.json; or a tokenizer.json alone. Tokenizers whose vocab.json and
/// merges.txt are the same, as SDXL's two, share what is made of them. Throw a Failure that names the missing or malformed file.
Tokenizer read_clip_tokenizer(const std::filesystem::path& folder);
nlohmann::json read_roberta_tokenizer(const std::filesystem::path& folder);
nlohmann::json read_qwen_tokenizer(const std::filesystem::path& folder);
/// vocab.txt with tokenizer_config.json; or a tokenizer.json alone.
nlohmann::json read_bert_tokenizer(const std::filesystem::path& folder);

}  // namespace glyphscope
