#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>

/// A tokenizer's folder as a document of Tokenizer: its tokenizer.json, or what transformers makes of the files that older versions wrote.
namespace glyphscope {

/// vocab.json and merges.txt with the tokens of special_tokens_map.json and tokenizer_config.json; or a tokenizer.json alone. Throw a Failure that names the
/// missing or malformed file.
nlohmann::json read_clip_tokenizer(const std::filesystem::path& folder);
nlohmann::json read_roberta_tokenizer(const std::filesystem::path& folder);
nlohmann::json read_qwen_tokenizer(const std::filesystem::path& folder);
/// vocab.txt with tokenizer_config.json; or a tokenizer.json alone.
nlohmann::json read_bert_tokenizer(const std::filesystem::path& folder);

}  // namespace glyphscope
