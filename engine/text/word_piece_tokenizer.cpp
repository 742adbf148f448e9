#include "text/word_piece_tokenizer.h"

#include <algorithm>
#include <sstream>

#include "core/error.h"
#include "core/unicode.h"
#include "io/config.h"
#include "io/files.h"
#include "text/special_tokens.h"

namespace glyphscope {

namespace {

// The blocks of CJK ideographs, each of which is a word of its own. Source: BERT, `_is_chinese_char`.
bool is_chinese(char32_t c) {
  constexpr std::pair<char32_t, char32_t> kBlocks[] = {{0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F},
                                                       {0x2B740, 0x2B81F}, {0x2B820, 0x2CEAF}, {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
  return std::any_of(std::begin(kBlocks), std::end(kBlocks), [&](const auto& block) { return c >= block.first && c <= block.second; });
}

// ASCII's symbols count as punctuation too.
bool is_punctuation_mark(char32_t c) {
  return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126) || is_punctuation(c);
}

bool is_dropped(char32_t c) { return c == 0 || c == 0xFFFD || (c != '\t' && c != '\n' && c != '\r' && is_control(c)); }

}  // namespace

WordPieceTokenizer WordPieceTokenizer::load(const std::filesystem::path& folder) {
  // Published folders have vocab.txt; transformers 5 writes tokenizer.json alone.
  const auto whole = folder / "tokenizer.json", file = std::filesystem::exists(folder / "vocab.txt") ? folder / "vocab.txt" : whole;
  if (!std::filesystem::exists(file)) reject("vocab.txt is missing", folder.string(), "A BERT tokenizer's folder has it; download the model again");
  WordPieceTokenizer out;
  if (file == whole) {
    const nlohmann::json json = read_json(file);
    try {
      const auto vocabulary = json.at("model").at("vocab").get<std::unordered_map<std::string, std::int64_t>>();
      out.pieces_.resize(vocabulary.size());
      for (const auto& [piece, id] : vocabulary) out.pieces_.at(static_cast<size_t>(id)) = piece;
      const auto& normalizer = json.at("normalizer");
      out.lower_case_ = normalizer.value("lowercase", true);
      out.split_chinese_ = normalizer.value("handle_chinese_chars", true);
      out.strip_accents_ =
          normalizer.contains("strip_accents") && normalizer["strip_accents"].is_boolean() ? normalizer["strip_accents"].get<bool>() : out.lower_case_;
    } catch (const std::exception& error) {
      reject(std::string("this is no WordPiece tokenizer: ") + error.what(), file.string());
    }
  } else {
    std::istringstream lines(read_text(file));
    for (std::string line; std::getline(lines, line);) out.pieces_.push_back(line);
    if (const auto config_file = folder / "tokenizer_config.json"; std::filesystem::exists(config_file)) {
      const Config config = Config::read(config_file);
      out.lower_case_ = config.boolean("do_lower_case", true);
      out.strip_accents_ = config.boolean("strip_accents", out.lower_case_);
      out.split_chinese_ = config.boolean("tokenize_chinese_chars", true);
    }
  }
  for (size_t i = 0; i < out.pieces_.size(); ++i) out.ids_[out.pieces_[i]] = static_cast<std::int64_t>(i);
  auto id = [&](const char* token) {
    auto found = out.ids_.find(token);
    if (found == out.ids_.end()) reject(std::string("the vocabulary has no ") + token, file.string());
    out.special_.emplace_back(token);
    return found->second;
  };
  out.pad_ = id("[PAD]");
  out.unknown_ = id("[UNK]");
  out.begin_ = id("[CLS]");
  out.end_ = id("[SEP]");
  if (out.ids_.contains("[MASK]")) id("[MASK]");
  return out;
}

void WordPieceTokenizer::add_word(const std::vector<char32_t>& word, std::vector<std::int64_t>& ids) const {
  constexpr size_t kLongest = 100;  // longer words are unknown
  const size_t before = ids.size();
  size_t start = 0;
  while (start < word.size() && word.size() <= kLongest) {
    size_t end = word.size();
    for (; end > start; --end) {
      const std::string piece =
          (start > 0 ? "##" : "") + encode_utf8({word.begin() + static_cast<std::ptrdiff_t>(start), word.begin() + static_cast<std::ptrdiff_t>(end)});
      if (auto found = ids_.find(piece); found != ids_.end()) {
        ids.push_back(found->second);
        break;
      }
    }
    if (end == start) break;
    start = end;
  }
  if (start == word.size()) return;
  ids.resize(before);  // a word with one unknown part is unknown as a whole
  ids.push_back(unknown_);
}

void WordPieceTokenizer::add_words(const std::vector<char32_t>& text, std::vector<std::int64_t>& ids) const {
  std::vector<char32_t> clean;
  for (char32_t c : text) {
    if (is_dropped(c)) continue;
    const bool apart = split_chinese_ && is_chinese(c);
    if (apart) clean.push_back(' ');
    clean.push_back(is_space(c) ? U' ' : c);
    if (apart) clean.push_back(' ');
  }
  if (strip_accents_) {
    clean = decode_utf8(normalize_nfd(encode_utf8(clean)));
    std::erase_if(clean, [](char32_t c) { return is_nonspacing_mark(c); });
  }
  if (lower_case_) {
    std::vector<char32_t> lower;
    for (char32_t c : clean)
      for (char32_t one : to_lower(c)) lower.push_back(one);
    clean = std::move(lower);
  }
  std::vector<char32_t> word;
  auto flush = [&] {
    if (!word.empty()) add_word(word, ids);
    word.clear();
  };
  for (char32_t c : clean) {
    if (is_space(c)) {
      flush();
    } else if (is_punctuation_mark(c)) {
      flush();
      add_word({c}, ids);
    } else {
      word.push_back(c);
    }
  }
  flush();
}

std::vector<std::int64_t> WordPieceTokenizer::encode(const std::string& text) const {
  std::vector<std::int64_t> ids;
  split_at(
      text, special_, [&](const std::string& words) { add_words(decode_utf8(words), ids); }, [&](const std::string& token) { ids.push_back(ids_.at(token)); });
  return ids;
}

Tokens WordPieceTokenizer::tokenize(const WeightedPrompt& prompt, std::int64_t length) const {
  Tokens out;
  for (const auto& part : prompt.pieces()) {
    for (std::int64_t id : encode(part.text)) {
      out.ids.push_back(id);
      out.weights.push_back(part.weight);
    }
  }
  const auto room = static_cast<size_t>(length - 2);
  for (size_t i = room; i < out.ids.size(); ++i) {
    const std::string& piece = pieces_[static_cast<size_t>(out.ids[i])];
    const bool inner = piece.starts_with("##");
    out.cut += (out.cut.empty() || inner ? "" : " ") + (inner ? piece.substr(2) : piece);
  }
  out.ids.resize(std::min(out.ids.size(), room));
  out.weights.resize(out.ids.size());
  out.ids.insert(out.ids.begin(), begin_);
  out.weights.insert(out.weights.begin(), 1);
  out.ids.push_back(end_);
  out.ids.resize(static_cast<size_t>(length), pad_);
  out.weights.resize(static_cast<size_t>(length), 1);
  return out;
}

}  // namespace glyphscope
