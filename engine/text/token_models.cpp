#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <map>
#include <unordered_map>

#include "core/error.h"
#include "core/unicode.h"
#include "text/tokenizer.h"

/// The models of a tokenizer.json.
namespace glyphscope {
namespace {

using Vocabulary = std::unordered_map<std::string, std::int64_t>;

Vocabulary read_vocabulary(const nlohmann::json& part, const std::string& where) {
  if (!part.is_object()) reject("the vocabulary is not a JSON object", where);
  Vocabulary out;
  out.reserve(part.size());
  for (const auto& [token, id] : part.items()) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > std::numeric_limits<std::int32_t>::max())
      reject("the id of token '" + token + "' is no whole number", where);
    out[token] = id.get<std::int64_t>();
  }
  return out;
}

std::string text_or(const nlohmann::json& part, const char* name, const std::string& otherwise) {
  return part.contains(name) && part[name].is_string() ? part[name].get<std::string>() : otherwise;
}

class VocabularyModel : public Tokenizer::Model {
 public:
  VocabularyModel(const nlohmann::json& part, const std::string& where) : ids_(read_vocabulary(part.at("vocab"), where)) {
    if (const std::string unknown = text_or(part, "unk_token", ""); !unknown.empty()) {
      unknown_ = id(unknown);
      if (!unknown_) reject("the vocabulary lacks the token '" + unknown + "'", where, "The file is damaged");
    }
  }
  std::optional<std::int64_t> id(const std::string& token) const override {
    const auto found = ids_.find(token);
    return found == ids_.end() ? std::nullopt : std::optional(found->second);
  }
  std::size_t size() const override { return ids_.size(); }

 protected:
  // What has no token is left out where there is none for the unknown.
  void add_unknown(const std::string& text, std::vector<Tokenizer::Piece>& out) const {
    if (unknown_) out.push_back({*unknown_, text});
  }

  Vocabulary ids_;
  std::optional<std::int64_t> unknown_;
};

// Byte-pair encoding (arXiv 1508.07909): pairs of neighbours become one, the first in rank before the others.
class BytePairModel : public VocabularyModel {
 public:
  BytePairModel(const nlohmann::json& part, const std::string& where) : VocabularyModel(part, where) {
    prefix_ = text_or(part, "continuing_subword_prefix", "");
    suffix_ = text_or(part, "end_of_word_suffix", "");
    fuses_unknown_ = part.value("fuse_unk", false);
    falls_back_to_bytes_ = part.value("byte_fallback", false);
    ignores_merges_ = part.value("ignore_merges", false);
    if (const auto dropout = part.find("dropout"); dropout != part.end() && !dropout->is_null() && *dropout != 0)
      reject("its model leaves merges out by chance (dropout " + dropout->dump() + ")", where, "A prompt would be read otherwise each time: set it to null");
    const auto& merges = part.at("merges");
    merges_.reserve(merges.size());
    int rank = 0;
    std::string left, right;
    for (const auto& merge : merges) {
      if (merge.is_array() && merge.size() == 2) {
        left = merge[0].get_ref<const std::string&>();
        right = merge[1].get_ref<const std::string&>();
      } else {
        const auto& line = merge.get_ref<const std::string&>();
        const size_t space = line.find(' ');
        if (space == std::string::npos || line.find(' ', space + 1) != std::string::npos)
          reject("merge " + std::to_string(rank + 1) + " is no pair of tokens: '" + line + "'", where, "The file is damaged");
        left.assign(line, 0, space);
        right.assign(line, space + 1);
      }
      const auto token = [&](const std::string& text) {
        const Token found = token_of(text);
        if (!found)
          reject("merge " + std::to_string(rank + 1) + " is of '" + text + "', which the vocabulary lacks", where,
                 "Merges and vocabulary belong to different tokenizers, or a file is damaged: download them again");
        return found;
      };
      const Token first = token(left), second = token(right);
      merges_.emplace(std::pair(first, second), Merge{rank, token(joined(left, right))});
      ++rank;
    }
  }

  void add(const std::string& word, std::vector<Tokenizer::Piece>& out) const override {
    if (const auto whole = id(word); ignores_merges_ && whole) {
      out.push_back({*whole, word});
      return;
    }
    std::vector<std::string> parts;
    const std::vector<char32_t> codes = decode_utf8(word);
    for (size_t i = 0; i < codes.size(); ++i) {
      std::string part = i > 0 ? prefix_ : std::string();
      append_utf8(part, codes[i]);
      if (i + 1 == codes.size()) part += suffix_;
      parts.push_back(std::move(part));
    }
    bool unknown_before = false;
    for (const auto& part : merged(std::move(parts))) {
      if (const auto own = id(part)) {
        out.push_back({*own, part});
        unknown_before = false;
        continue;
      }
      if (falls_back_to_bytes_ && add_bytes(part, out)) {
        unknown_before = false;
        continue;
      }
      if (fuses_unknown_ && unknown_before)
        out.back().text += part;
      else
        add_unknown(part, out);
      unknown_before = unknown_.has_value();
    }
  }

 private:
  // A token of the vocabulary, which stays where it is; null for a text that is none.
  using Token = const Vocabulary::value_type*;
  struct Merge {
    int rank = 0;
    Token into = nullptr;
  };
  struct PairHash {
    size_t operator()(const std::pair<Token, Token>& pair) const {
      return std::hash<Token>()(pair.first) * 0x9E3779B97F4A7C15ULL ^ std::hash<Token>()(pair.second);
    }
  };

  Token token_of(const std::string& text) const {
    const auto found = ids_.find(text);
    return found == ids_.end() ? nullptr : &*found;
  }
  std::string joined(const std::string& left, const std::string& right) const { return left + right.substr(right.starts_with(prefix_) ? prefix_.size() : 0); }

  // Of neighbours the first in rank become one, everywhere, as long as some do.
  std::vector<std::string> merged(std::vector<std::string> parts) const {
    std::vector<Token> tokens;
    for (const auto& part : parts) tokens.push_back(token_of(part));
    while (parts.size() > 1) {
      std::vector<const Merge*> found(parts.size() - 1);
      const Merge* best = nullptr;
      for (size_t i = 0; i + 1 < parts.size(); ++i)
        if (const auto one = merges_.find({tokens[i], tokens[i + 1]}); one != merges_.end()) {
          found[i] = &one->second;
          if (!best || found[i]->rank < best->rank) best = found[i];
        }
      if (!best) break;
      size_t kept = 0;
      for (size_t i = 0; i < parts.size(); ++i, ++kept) {
        if (i + 1 < parts.size() && found[i] == best) {
          parts[kept] = best->into->first;
          tokens[kept] = best->into;
          ++i;
        } else if (kept != i) {
          parts[kept] = std::move(parts[i]);
          tokens[kept] = tokens[i];
        }
      }
      parts.resize(kept);
      tokens.resize(kept);
    }
    return parts;
  }

  bool add_bytes(const std::string& part, std::vector<Tokenizer::Piece>& out) const {
    std::vector<Tokenizer::Piece> bytes;
    for (const unsigned char byte : part) {
      char token[8];
      std::snprintf(token, sizeof token, "<0x%02X>", byte);
      const auto own = id(token);
      if (!own) return false;
      bytes.push_back({*own, token});
    }
    out.insert(out.end(), bytes.begin(), bytes.end());
    return true;
  }

  std::unordered_map<std::pair<Token, Token>, Merge, PairHash> merges_;  // of pairs of neighbours
  std::string prefix_, suffix_;
  bool fuses_unknown_ = false, falls_back_to_bytes_ = false, ignores_merges_ = false;
};

// BERT's WordPiece: the longest piece that there is, again and again. A word with one unknown part is unknown as a whole.
class WordPieceModel : public VocabularyModel {
 public:
  WordPieceModel(const nlohmann::json& part, const std::string& where) : VocabularyModel(part, where) {
    if (!unknown_) reject("its model has no unk_token", where, "The file is damaged");
    prefix_ = text_or(part, "continuing_subword_prefix", "##");
    longest_ = part.value("max_input_chars_per_word", std::size_t{100});
  }

  void add(const std::string& word, std::vector<Tokenizer::Piece>& out) const override {
    const std::vector<char32_t> codes = decode_utf8(word);
    const size_t given = out.size();
    size_t start = 0;
    while (start < codes.size() && codes.size() <= longest_) {
      size_t end = codes.size();
      for (; end > start; --end) {
        const std::string piece =
            (start > 0 ? prefix_ : "") + encode_utf8({codes.begin() + static_cast<std::ptrdiff_t>(start), codes.begin() + static_cast<std::ptrdiff_t>(end)});
        if (const auto own = id(piece)) {
          out.push_back({*own, piece});
          break;
        }
      }
      if (end == start) break;
      start = end;
    }
    if (start == codes.size()) return;
    out.resize(given);
    add_unknown(word, out);
  }

 private:
  std::string prefix_;
  std::size_t longest_ = 100;
};

class WordLevelModel : public VocabularyModel {
 public:
  using VocabularyModel::VocabularyModel;
  void add(const std::string& word, std::vector<Tokenizer::Piece>& out) const override {
    if (const auto own = id(word))
      out.push_back({*own, word});
    else
      add_unknown(word, out);
  }
};

}  // namespace

std::shared_ptr<const Tokenizer::Model> make_token_model(const nlohmann::json& part, const std::string& where) {
  const std::string type = part_type(part);
  if (type == "BPE") return std::make_shared<BytePairModel>(part, where);
  if (type == "WordPiece") return std::make_shared<WordPieceModel>(part, where);
  if (type == "WordLevel") return std::make_shared<WordLevelModel>(part, where);
  reject("its model is of type '" + type + "'", where, "Known are BPE, WordPiece and WordLevel; Unigram of T5's tokenizers");
}

}  // namespace glyphscope
