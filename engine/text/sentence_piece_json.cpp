#include "text/sentence_piece_json.h"

#include <cstring>

#include "core/error.h"
#include "io/base64.h"
#include "io/files.h"

namespace glyphscope {
namespace {

// The wire format of Protocol Buffers, as far as a ModelProto needs it. Source: sentencepiece_model.proto, whose numbers stand below.
void append_number(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}
void append_varint(std::string& out, std::uint64_t field, std::uint64_t value) {
  append_number(out, field << 3);
  append_number(out, value);
}
void append_bytes(std::string& out, std::uint64_t field, const std::string& bytes) {
  append_number(out, field << 3 | 2);
  append_number(out, bytes.size());
  out += bytes;
}
void append_float(std::string& out, std::uint64_t field, float value) {
  append_number(out, field << 3 | 5);
  char bytes[4];
  std::memcpy(bytes, &value, 4);
  out.append(bytes, 4);
}

enum PieceType : std::uint64_t { kNormal = 1, kUnknown = 2, kControl = 3, kByte = 6 };

std::string type_of(const nlohmann::json& part) {
  return part.is_object() && part.contains("type") && part["type"].is_string() ? part["type"].get<std::string>() : "?";
}

// What SentencePiece's own normaliser does: characters by a compiled map, and runs of spaces as one.
std::string compiled_map(const nlohmann::json& normalizer, const std::string& where) {
  if (normalizer.is_null()) return {};
  const std::string type = type_of(normalizer);
  if (type == "Precompiled") {
    const nlohmann::json map = normalizer.value("precompiled_charsmap", nlohmann::json());
    return map.is_string() ? from_base64(map.get<std::string>(), "'precompiled_charsmap'", where) : std::string();
  }
  if (type == "Sequence") {
    std::string out;
    for (const auto& one : normalizer.at("normalizers"))
      if (const std::string each = compiled_map(one, where); !each.empty()) out = each;
    return out;
  }
  // Runs of spaces, and those at the ends, are what SentencePiece takes away by itself.
  if (type == "Strip" || type == "Replace") return {};
  reject("its normalizer is of type '" + type + "'", where, "Of SentencePiece's are Precompiled, Strip, Replace and a Sequence of them");
}

bool adds_prefix(const nlohmann::json& part, const std::string& where) {
  if (part.is_null()) return true;
  const std::string type = type_of(part);
  if (type == "Sequence") {
    bool out = false;
    for (const auto& one : part.at("pretokenizers")) out |= adds_prefix(one, where);
    return out;
  }
  if (type == "WhitespaceSplit") return false;
  if (type == "Metaspace") return part.value("prepend_scheme", part.value("add_prefix_space", true) ? "always" : "never") != "never";
  reject("its pre_tokenizer is of type '" + type + "'", where, "Of SentencePiece's are Metaspace and WhitespaceSplit");
}

}  // namespace

SentencePieceJson SentencePieceJson::read(const std::filesystem::path& file) {
  const nlohmann::json json = read_json(file);
  const std::string where = file.string();
  return reading_json(file, [&] {
    SentencePieceJson out;
    const nlohmann::json& model = json.at("model");
    if (type_of(model) != "Unigram")
      reject("its model is of type '" + type_of(model) + "', Unigram was expected", where, "Tokenizer and text encoder belong to different models");
    if (json.contains("added_tokens"))
      for (const auto& token : json.at("added_tokens")) {
        const auto content = token.at("content").get<std::string>();
        const auto number = token.at("id").get<std::int64_t>();
        if (content.empty() || number < 0) reject("an added token is empty, or its id is below 0", where, "The file is damaged");
        out.added[content] = number;
      }
    const auto unknown = model.value("unk_id", nlohmann::json());
    if (!unknown.is_number_unsigned()) reject("its model has no unk_id", where);
    const auto unknown_id = unknown.get<std::uint64_t>();
    std::uint64_t id = 0;
    for (const auto& piece : model.at("vocab")) {
      const auto text = piece.at(0).get<std::string>();
      const bool byte = model.value("byte_fallback", false) && text.size() == 6 && text.starts_with("<0x");
      std::string one;
      append_bytes(one, 1, text);
      append_float(one, 2, piece.at(1).get<float>());
      append_varint(one, 3, id == unknown_id ? kUnknown : out.added.contains(text) ? kControl : byte ? kByte : kNormal);
      append_bytes(out.model, 1, one);
      ++id;
    }
    if (unknown_id >= id) reject("unk_id is " + std::to_string(unknown_id) + ", there are " + std::to_string(id) + " pieces", where);
    std::string trainer, normalizer;
    append_varint(trainer, 3, 1);  // unigram
    append_varint(trainer, 35, model.value("byte_fallback", false) ? 1 : 0);
    append_varint(trainer, 40, unknown_id);
    for (const std::uint64_t field : {41, 42, 43}) append_varint(trainer, field, ~std::uint64_t{0});  // begin, end and padding: none of its own
    append_bytes(normalizer, 1, "identity");
    append_varint(normalizer, 3, adds_prefix(json.value("pre_tokenizer", nlohmann::json()), where) ? 1 : 0);
    append_varint(normalizer, 4, 1);  // runs of spaces are one
    append_varint(normalizer, 5, 1);  // spaces become a letter
    append_bytes(out.model, 2, trainer);
    append_bytes(out.model, 3, normalizer);
    out.charsmap = compiled_map(json.value("normalizer", nlohmann::json()), where);
    return out;
  });
}

}  // namespace glyphscope
