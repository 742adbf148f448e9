#include "demo/sign_tokenizer.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/unicode.h"
#include "demo/signs.h"
#include "io/files.h"

namespace glyphscope {

const std::vector<std::string>& sign_template_words() {
  static const std::vector<std::string> words = [] {
    std::vector<std::string> out{"sign", "that", "says", "wall", "on", "round", "square", "blank"};
    for (const auto& colour : sign_colours()) out.emplace_back(colour.name);
    return out;
  }();
  return words;
}

namespace {

using Parts = std::vector<std::string>;

Parts letters(const std::string& word) {
  Parts parts;
  for (char letter : word) parts.emplace_back(1, letter);
  parts.back() += "</w>";
  return parts;
}

void apply(Parts& parts, const std::string& left, const std::string& right) {
  Parts out;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i + 1 < parts.size() && parts[i] == left && parts[i + 1] == right) {
      out.push_back(left + right);
      ++i;
    } else {
      out.push_back(parts[i]);
    }
  }
  parts = std::move(out);
}

}  // namespace

SignVocabulary build_sign_vocabulary(const std::vector<std::string>& corpus) {
  SignVocabulary out;
  std::vector<Parts> split;
  for (const auto& word : corpus) split.push_back(letters(word));
  for (const auto& word : sign_template_words()) {
    Parts parts = letters(word);
    for (const auto& [left, right] : out.merges) apply(parts, left, right);
    while (parts.size() > 1) {
      std::map<std::pair<std::string, std::string>, int> counts;
      for (const auto& other : split)
        for (size_t i = 0; i + 1 < other.size(); ++i) ++counts[{other[i], other[i + 1]}];
      size_t best = 0;
      for (size_t i = 0; i + 1 < parts.size(); ++i)
        if (counts[{parts[i], parts[i + 1]}] < counts[{parts[best], parts[best + 1]}]) best = i;
      out.merges.emplace_back(parts[best], parts[best + 1]);
      const auto [left, right] = out.merges.back();
      apply(parts, left, right);
      for (auto& other : split) apply(other, left, right);
    }
  }

  std::vector<std::string> bytes;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    if (printable) append_utf8(bytes.emplace_back(), static_cast<char32_t>(byte));
  }
  for (char32_t code = 0x100; bytes.size() < 256; ++code) append_utf8(bytes.emplace_back(), code);
  // CLIP's order: bytes, bytes that end a word, merges, begin, end.
  out.tokens = bytes;
  for (const auto& byte : bytes) out.tokens.push_back(byte + "</w>");
  for (const auto& [left, right] : out.merges) out.tokens.push_back(left + right);
  out.tokens.emplace_back("<|startoftext|>");
  out.tokens.emplace_back("<|endoftext|>");
  return out;
}

void write_sign_tokenizer(const SignVocabulary& vocabulary, std::int64_t max_length, const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  nlohmann::ordered_json ids;
  for (size_t i = 0; i < vocabulary.tokens.size(); ++i) ids[vocabulary.tokens[i]] = i;
  write_text(folder / "vocab.json", ids.dump() + "\n");
  std::string merges = "#version: 0.2\n";
  for (const auto& [left, right] : vocabulary.merges) merges += left + " " + right + "\n";
  write_text(folder / "merges.txt", merges);
  auto special = [](const char* text) {
    return nlohmann::ordered_json{{"content", text}, {"lstrip", false}, {"normalized", true}, {"rstrip", false}, {"single_word", false}};
  };
  write_json(folder / "special_tokens_map.json", {{"bos_token", special("<|startoftext|>")},
                                                  {"eos_token", special("<|endoftext|>")},
                                                  {"pad_token", "<|endoftext|>"},
                                                  {"unk_token", special("<|endoftext|>")}});
  write_json(folder / "tokenizer_config.json", {{"add_prefix_space", false},
                                                {"bos_token", "<|startoftext|>"},
                                                {"do_lower_case", true},
                                                {"eos_token", "<|endoftext|>"},
                                                {"model_max_length", max_length},
                                                {"pad_token", "<|endoftext|>"},
                                                {"tokenizer_class", "CLIPTokenizer"},
                                                {"unk_token", "<|endoftext|>"}});
}

namespace {

// Every printable ASCII character, once.
class Characters : public sentencepiece::SentenceIterator {
 public:
  Characters() {
    for (char c = '!'; c <= '~'; ++c) text_ += c;
  }
  bool done() const override { return done_; }
  void Next() override { done_ = true; }
  const std::string& value() const override { return text_; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  std::string text_;
  bool done_ = false;
};

std::string sign_pieces() {
  std::string words, model;
  for (const auto& word : sign_template_words()) words += (words.empty() ? "" : ",") + ("\u2581" + word);
  Characters characters;
  const auto status = sentencepiece::SentencePieceTrainer::Train({{"model_type", "char"},
                                                                  {"user_defined_symbols", words},
                                                                  {"character_coverage", "1.0"},
                                                                  {"vocab_size", "1000"},
                                                                  {"hard_vocab_limit", "false"},
                                                                  {"pad_id", "0"},
                                                                  {"eos_id", "1"},
                                                                  {"unk_id", "2"},
                                                                  {"bos_id", "-1"},
                                                                  {"num_threads", "1"},
                                                                  {"minloglevel", "2"}},
                                                                 &characters, &model);
  if (!status.ok()) throw Failure({ErrorCode::internal, "SentencePiece does not train: " + status.ToString(), "", ""});
  return model;
}

}  // namespace

void write_sign_pieces(std::int64_t max_length, const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  write_text(folder / "spiece.model", sign_pieces());
  write_json(folder / "tokenizer_config.json", {{"tokenizer_class", "T5Tokenizer"}, {"model_max_length", max_length}, {"extra_ids", 0}});
}

std::int64_t sign_piece_count() {
  sentencepiece::SentencePieceProcessor processor;
  if (const auto status = processor.LoadFromSerializedProto(sign_pieces()); !status.ok())
    throw Failure({ErrorCode::internal, "SentencePiece does not read its own model: " + status.ToString(), "", ""});
  return processor.GetPieceSize();
}

}  // namespace glyphscope
