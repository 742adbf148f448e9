#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace glyphscope {

/// A tokenizer as a tokenizer.json says what it is: how added tokens are found, how text is normalised and taken apart, and a model of BPE, WordPiece or whole
/// words. Source: the tokenizers library, whose ids these are. Unigram models are SentencePiece's: see T5Tokenizer.
class Tokenizer {
 public:
  class Model;
  /// where: for errors. model: in place of the document's, if it is given. Throws a Failure that names what is missing, malformed, or of a kind that is not
  /// known here.
  Tokenizer(const nlohmann::json& document, const std::string& where, std::shared_ptr<const Model> model = nullptr);

  struct Piece {
    std::int64_t id = 0;
    std::string text;  ///< As the vocabulary spells it, or what it has no token for.
  };
  /// Of a text without what a model wants around it. Text that is not UTF-8 is read with U+FFFD in place of what is wrong. finds_added: whether added tokens
  /// are looked for; else they are text like any other.
  std::vector<Piece> pieces(const std::string& text, bool finds_added = true) const;
  std::optional<std::int64_t> id(const std::string& token) const;
  std::size_t vocabulary_size() const;

  /// What becomes of a text, and of the words that it was taken apart into so far.
  using Normalizer = std::function<std::string(const std::string&)>;
  /// begins: whether they are the beginning of the text, before which no added token stands.
  using Splitter = std::function<std::vector<std::string>(const std::vector<std::string>& words, bool begins)>;
  /// The ids of a word.
  class Model {
   public:
    virtual ~Model() = default;
    virtual void add(const std::string& word, std::vector<Piece>& out) const = 0;
    virtual std::optional<std::int64_t> id(const std::string& token) const = 0;
    virtual std::size_t size() const = 0;
  };
  struct AddedToken {
    std::string content;
    std::int64_t id = 0;
    bool normalized = false;              ///< Found in the normalised text.
    bool single_word = false;             ///< Not within a word.
    bool lstrip = false, rstrip = false;  ///< Takes the spaces beside it along.
  };

 private:
  void add_words(const std::string& text, bool begins, std::vector<Piece>& out) const;

  Normalizer normalize_;
  Splitter split_;
  std::shared_ptr<const Model> model_;
  std::vector<AddedToken> raw_, normalized_;  // by the text that they are found in
};

/// Of a tokenizer.json: "normalizer", "pre_tokenizer" and "model". Throw a Failure that names a kind that is not known.
Tokenizer::Normalizer make_normalizer(const nlohmann::json& part, const std::string& where);
Tokenizer::Splitter make_splitter(const nlohmann::json& part, const std::string& where);
std::shared_ptr<const Tokenizer::Model> make_token_model(const nlohmann::json& part, const std::string& where);

/// What a part says that it is; "?" if it does not.
std::string part_type(const nlohmann::json& part);

/// GPT-2's map from bytes to printable characters: printable bytes stand for themselves, the others follow from U+0100.
const std::array<std::string, 256>& byte_letters();
/// The bytes that such letters stand for; other characters stay.
std::string bytes_of_letters(const std::string& letters);

}  // namespace glyphscope
