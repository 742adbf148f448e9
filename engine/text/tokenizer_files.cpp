#include "text/tokenizer_files.h"

#include <charconv>
#include <map>
#include <mutex>
#include <sstream>

#include "core/error.h"
#include "io/config.h"
#include "io/files.h"
#include "text/tokenizer.h"

namespace glyphscope {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

// A tokenizer.json whose model is of that type.
json read_whole(const fs::path& file, const char* type) {
  json out = read_json(file);
  const std::string own = out.is_object() && out.contains("model") ? part_type(out["model"]) : "?";
  if (own != type)
    reject("this is no " + std::string(type) + " tokenizer: its model is of type '" + own + "'", file.string(),
           "Tokenizer and text encoder belong to different models");
  return out;
}

// vocab.json and merges.txt. text: of the latter.
json read_byte_pairs(const fs::path& folder, const std::string& text) {
  const fs::path pairs = folder / "merges.txt";
  json merges = json::array();
  refuse_stand_in(pairs, std::string_view(text).substr(0, 256), text.size());
  std::istringstream lines(text);
  std::string line;
  for (size_t number = 1; std::getline(lines, line); ++number) {
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty() || line.starts_with("#version")) continue;
    const auto space = line.find(' ');
    if (space == std::string::npos || line.find(' ', space + 1) != std::string::npos)
      reject("line " + std::to_string(number) + " is no pair of tokens: '" + line + "'", pairs.string());
    merges.push_back(std::move(line));
  }
  json vocabulary = read_json(folder / "vocab.json");
  if (!vocabulary.is_object()) reject("the vocabulary is not a JSON object", (folder / "vocab.json").string());
  for (const auto& [token, id] : vocabulary.items())
    if (!id.is_number_unsigned()) reject("the id of token '" + token + "' is no whole number", (folder / "vocab.json").string());
  return {{"type", "BPE"}, {"vocab", std::move(vocabulary)}, {"merges", std::move(merges)}};
}

// transformers reads a tokenizer.json where there is one, and writes no other: older files beside it lack what was added since.
bool has_byte_pairs(const fs::path& folder) {
  return !fs::exists(folder / "tokenizer.json") && fs::exists(folder / "vocab.json") && fs::exists(folder / "merges.txt");
}

json whole_or_missing(const fs::path& folder, const char* type) {
  if (!fs::exists(folder / "tokenizer.json"))
    reject(std::string(fs::exists(folder / "vocab.json")   ? "merges.txt is"
                       : fs::exists(folder / "merges.txt") ? "vocab.json is"
                                                           : "tokenizer.json, or vocab.json and merges.txt, are") +
               " missing",
           folder.string(), "Copy what the published model has in its folder of that name");
  return read_whole(folder / "tokenizer.json", type);
}

// A key of added_tokens_decoder.
std::int64_t whole_number(const std::string& id, const fs::path& where) {
  std::int64_t number = -1;
  const auto read = std::from_chars(id.data(), id.data() + id.size(), number);
  if (read.ec != std::errc() || read.ptr != id.data() + id.size() || number < 0)
    reject("'added_tokens_decoder' has the id '" + id + "', which is no whole number", where.string());
  return number;
}

json read_byte_pairs(const fs::path& folder) { return read_byte_pairs(folder, read_text(folder / "merges.txt")); }

// CLIP's model of such files. The last one made is shared by who asks for the same.
std::shared_ptr<const Tokenizer::Model> clip_model(const fs::path& folder) {
  static std::mutex mutex;
  static std::pair<std::string, std::string> of;  // what it was made of
  static std::weak_ptr<const Tokenizer::Model> last;
  std::pair texts{read_text(folder / "vocab.json"), read_text(folder / "merges.txt")};
  const std::lock_guard lock(mutex);
  auto model = last.lock();
  if (model && texts == of) return model;
  json part = read_byte_pairs(folder, texts.second);
  part["unk_token"] = "<|endoftext|>";
  part["end_of_word_suffix"] = "</w>";
  model = make_token_model(part, folder.string());
  of = std::move(texts);
  last = model;
  return model;
}

// Qwen2's words. Source: transformers `Qwen2Tokenizer`.
constexpr const char* kQwenWords = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// CLIP's words; the byte level takes what it matches apart once more.
constexpr const char* kClipWords = R"(<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)";

}  // namespace

Tokenizer read_clip_tokenizer(const fs::path& folder) {
  const auto read_if_there = [&](const char* name) { return fs::exists(folder / name) ? read_json(folder / name) : json(); };
  const json special = read_if_there("special_tokens_map.json"), settings = read_if_there("tokenizer_config.json");
  const bool whole = !has_byte_pairs(folder);
  json out;
  std::shared_ptr<const Tokenizer::Model> model;
  std::map<std::string, json> added;  // by content
  if (whole) {
    out = whole_or_missing(folder, "BPE");
    reading_json(folder / "tokenizer.json", [&] {
      if (out.contains("added_tokens"))
        for (const auto& token : out["added_tokens"]) added[token.at("content").get<std::string>()] = token;
    });
    model = reading_json(folder / "tokenizer.json", [&] { return make_token_model(out["model"], folder.string()); });
  } else {
    model = clip_model(folder);
    const json normalizers = {{{"type", "NFC"}}, {{"type", "Replace"}, {"pattern", {{"Regex", "\\s+"}}}, {"content", " "}}, {{"type", "Lowercase"}}};
    const json splitters = {{{"type", "Split"}, {"pattern", {{"Regex", kClipWords}}}, {"behavior", "Removed"}, {"invert", true}},
                            {{"type", "ByteLevel"}, {"add_prefix_space", false}}};
    out = {{"normalizer", {{"type", "Sequence"}, {"normalizers", normalizers}}}, {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", splitters}}}};
    added["<|startoftext|>"] = {{"normalized", true}};
    added["<|endoftext|>"] = {{"normalized", false}};
  }

  // transformers gathers its added tokens so: special_tokens_map.json before tokenizer_config.json; a token given as plain text is looked for in the raw text;
  // the one named last decides where two are the same. What a tokenizer.json says of a token stands.
  for (const char* key : {"bos_token", "eos_token", "unk_token", "pad_token"}) {
    const json token = special.contains(key) ? special[key] : settings.contains(key) ? settings[key] : json();
    const bool object = token.is_object() && token.contains("content") && token["content"].is_string();
    if (!token.is_null() && !token.is_string() && !object)
      reject(std::string("'") + key + "' is " + token.dump().substr(0, 60) + ", a token was expected",
             (folder / (special.contains(key) ? "special_tokens_map.json" : "tokenizer_config.json")).string());
    const std::string text = token.is_null() ? "" : object ? token["content"].get<std::string>() : token.get<std::string>();
    if (text.empty() || (whole && added.contains(text))) continue;
    added[text] = {{"normalized", reading_json(folder, [&] { return object && token.value("normalized", false); })}};
  }
  // Those that a user has added, as textual inversion does; they come after the vocabulary.
  reading_json(folder / "tokenizer_config.json", [&] {
    if (const auto own = settings.find("added_tokens_decoder"); own != settings.end())
      for (const auto& [id, token] : own->items()) {
        const std::string text = token.at("content").get<std::string>();
        const std::int64_t number = whole_number(id, folder / "tokenizer_config.json");
        if (!added.contains(text)) (added[text] = token)["id"] = number;
      }
  });
  const fs::path file = folder / "added_tokens.json";
  if (fs::exists(file))
    reading_json(file, [&] {
      const json own = read_json(file);
      for (const auto& [text, id] : own.items())
        if (!added.contains(text)) added[text] = {{"id", id.get<std::int64_t>()}, {"normalized", true}};
    });

  json tokens = json::array();
  for (auto& [content, token] : added) {
    token["content"] = content;
    if (!token.contains("id")) {
      const auto id = model->id(content);
      if (!id) reject("the vocabulary lacks the token '" + content + "'", folder.string());
      token["id"] = *id;
    }
    tokens.push_back(std::move(token));
  }
  out["added_tokens"] = std::move(tokens);
  return {out, folder.string(), std::move(model)};
}

json read_roberta_tokenizer(const fs::path& folder) {
  if (!has_byte_pairs(folder)) return whole_or_missing(folder, "BPE");
  json model = read_byte_pairs(folder);
  model["unk_token"] = "<unk>";
  return {{"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}}, {"model", std::move(model)}};
}

json read_qwen_tokenizer(const fs::path& folder) {
  if (!has_byte_pairs(folder)) return whole_or_missing(folder, "BPE");
  json tokens = json::array();
  if (const fs::path settings = folder / "tokenizer_config.json"; fs::exists(settings))
    reading_json(settings, [&] {
      const json own = read_json(settings);
      const auto added = own.find("added_tokens_decoder");
      if (added == own.end()) return;
      for (const auto& [id, token] : added->items()) {
        tokens.push_back(token);
        tokens.back()["id"] = whole_number(id, settings);
      }
    });
  const json splitters = {{{"type", "Split"}, {"pattern", {{"Regex", kQwenWords}}}, {"behavior", "Isolated"}, {"invert", false}},
                          {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}};
  return {{"added_tokens", std::move(tokens)},
          {"normalizer", {{"type", "NFC"}}},
          {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", splitters}}},
          {"model", read_byte_pairs(folder)}};
}

json read_bert_tokenizer(const fs::path& folder) {
  const fs::path file = folder / "vocab.txt";
  if (!fs::exists(file) || fs::exists(folder / "tokenizer.json")) {
    if (!fs::exists(folder / "tokenizer.json")) reject("vocab.txt is missing", folder.string(), "A BERT tokenizer's folder has it; download the model again");
    return read_whole(folder / "tokenizer.json", "WordPiece");
  }
  json vocabulary = json::object();
  std::istringstream lines(read_text(file));
  std::int64_t number = 0;
  for (std::string line; std::getline(lines, line); ++number) vocabulary[line] = static_cast<std::uint64_t>(number);
  json normalizer{{"type", "BertNormalizer"}};
  if (const fs::path settings = folder / "tokenizer_config.json"; fs::exists(settings)) {
    const Config config = Config::read(settings);
    normalizer["lowercase"] = config.boolean("do_lower_case", true);
    normalizer["strip_accents"] = config.boolean("strip_accents", normalizer["lowercase"]);
    normalizer["handle_chinese_chars"] = config.boolean("tokenize_chinese_chars", true);
  }
  json tokens = json::array();
  for (const char* token : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}) {
    if (!vocabulary.contains(token) && std::string(token) == "[MASK]") continue;
    if (!vocabulary.contains(token)) reject(std::string("the vocabulary has no ") + token, file.string());
    tokens.push_back({{"content", token}, {"id", vocabulary[token]}});
  }
  return {{"added_tokens", std::move(tokens)},
          {"normalizer", std::move(normalizer)},
          {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
          {"model", {{"type", "WordPiece"}, {"vocab", std::move(vocabulary)}, {"unk_token", "[UNK]"}}}};
}

}  // namespace glyphscope
