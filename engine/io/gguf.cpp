#include "io/gguf.h"

#include <algorithm>
#include <cstring>
#include <regex>

#include "core/error.h"
#include "io/files.h"
#include "io/mapped_files.h"

namespace glyphscope {
namespace fs = std::filesystem;

namespace {

constexpr const char* kAgain = "The file is cut off or damaged; get it again";

// ggml's types of tensors (ggml.h, enum ggml_type). Those without a counterpart here can lie in a file, and cannot be read.
struct TypeName {
  std::uint32_t number;
  const char* name;
  std::int64_t block, bytes;  // numbers and bytes of a block
  torch::ScalarType dtype = torch::ScalarType::Undefined;
  std::optional<QuantizedType> quantized = std::nullopt;
};
const std::vector<TypeName>& known_types() {
  static const std::vector<TypeName> types = [] {
    std::vector<TypeName> out{{0, "F32", 1, 4, torch::kFloat32},
                              {1, "F16", 1, 2, torch::kFloat16},
                              {30, "BF16", 1, 2, torch::kBFloat16},
                              {28, "F64", 1, 8, torch::kFloat64},
                              {24, "I8", 1, 1, torch::kInt8},
                              {25, "I16", 1, 2, torch::kInt16},
                              {26, "I32", 1, 4, torch::kInt32},
                              {27, "I64", 1, 8, torch::kInt64},
                              {9, "Q8_1", 32, 36},
                              {15, "Q8_K", 256, 292},
                              {16, "IQ2_XXS", 256, 66},
                              {17, "IQ2_XS", 256, 74},
                              {18, "IQ3_XXS", 256, 98},
                              {19, "IQ1_S", 256, 50},
                              {21, "IQ3_S", 256, 110},
                              {22, "IQ2_S", 256, 82},
                              {29, "IQ1_M", 256, 56},
                              {34, "TQ1_0", 256, 54},
                              {35, "TQ2_0", 256, 66},
                              {39, "MXFP4", 32, 17}};
    using enum QuantizedType;
    for (const auto& [number, type] : {std::pair{2u, q4_0},
                                       {3u, q4_1},
                                       {6u, q5_0},
                                       {7u, q5_1},
                                       {8u, q8_0},
                                       {10u, q2_k},
                                       {11u, q3_k},
                                       {12u, q4_k},
                                       {13u, q5_k},
                                       {14u, q6_k},
                                       {20u, iq4_nl},
                                       {23u, iq4_xs}})
      out.push_back({number, quantized_name(type), block_size(type).numbers, block_size(type).bytes, torch::ScalarType::Undefined, type});
    return out;
  }();
  return types;
}

// Reads a file from its beginning; nothing is believed that the file has no bytes for.
class Reader {
 public:
  Reader(const char* data, std::uint64_t size, std::string where) : data_(data), size_(size), where_(std::move(where)) {}

  template <class Number>
  Number number(const std::string& what) {
    Number out;
    std::memcpy(&out, bytes(sizeof(Number), what), sizeof(Number));
    return out;
  }
  std::string text(const std::string& what) {
    const auto length = number<std::uint64_t>(what);
    return {bytes(length, what), static_cast<size_t>(length)};
  }
  const char* bytes(std::uint64_t count, const std::string& what) {
    if (count > size_ - at_) reject("the file ends within " + what, where_, kAgain);
    const char* const out = data_ + at_;
    at_ += count;
    return out;
  }
  std::uint64_t at() const { return at_; }
  // As many as that cannot be there: each takes a byte at least.
  std::uint64_t count(const std::string& what) {
    const auto out = number<std::uint64_t>(what);
    if (out > size_ - at_) reject("the file claims " + std::to_string(out) + " " + what + ", and has " + std::to_string(size_) + " bytes", where_, kAgain);
    return out;
  }

 private:
  const char* data_;
  std::uint64_t size_, at_ = 0;
  std::string where_;
};

// A value of the metadata. Only texts, and whole numbers and lists of them, are asked for.
struct Value {
  std::string text;
  std::vector<std::int64_t> numbers;
};
Value read_value(Reader& reader, std::uint32_t type, const std::string& key, const std::string& where, int depth = 0) {
  enum : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };
  const std::string what = "the value of " + key;
  Value out;
  const auto whole = [&](auto value) { out.numbers.push_back(static_cast<std::int64_t>(value)); };
  switch (type) {
    case u8:
      whole(reader.number<std::uint8_t>(what));
      break;
    case i8:
      whole(reader.number<std::int8_t>(what));
      break;
    case u16:
      whole(reader.number<std::uint16_t>(what));
      break;
    case i16:
      whole(reader.number<std::int16_t>(what));
      break;
    case u32:
      whole(reader.number<std::uint32_t>(what));
      break;
    case i32:
      whole(reader.number<std::int32_t>(what));
      break;
    case u64:
      whole(reader.number<std::uint64_t>(what));
      break;
    case i64:
      whole(reader.number<std::int64_t>(what));
      break;
    case f32:
      reader.bytes(4, what);
      break;
    case f64:
      reader.bytes(8, what);
      break;
    case boolean:
      reader.bytes(1, what);
      break;
    case string:
      out.text = reader.text(what);
      break;
    case array: {
      if (depth > 3) reject("the value of " + key + " is nested too deeply", where, kAgain);
      const auto of = reader.number<std::uint32_t>(what);
      const std::uint64_t count = reader.count("values of " + key);
      for (std::uint64_t i = 0; i < count; ++i) {
        const Value one = read_value(reader, of, key, where, depth + 1);
        if (out.numbers.size() < 16) out.numbers.insert(out.numbers.end(), one.numbers.begin(), one.numbers.end());
      }
      break;
    }
    default:
      reject(what + " is of type " + std::to_string(type) + ", which the format does not have", where, kAgain);
  }
  return out;
}

// llama.cpp's names of T5's encoder and of language models, by transformers'. Source: gguf, tensor_mapping.py, T5ENCODER and QWEN3.
struct LlamaNames {
  const char *block, *ours;  // how a block's names begin, with its number after
  std::map<std::string, std::string> whole, parts;
};

const LlamaNames kT5{"enc.blk.",
                     "encoder.block.",
                     {{"token_embd.weight", "shared.weight"}, {"enc.output_norm.weight", "encoder.final_layer_norm.weight"}},
                     {{"attn_q", "layer.0.SelfAttention.q"},
                      {"attn_k", "layer.0.SelfAttention.k"},
                      {"attn_v", "layer.0.SelfAttention.v"},
                      {"attn_o", "layer.0.SelfAttention.o"},
                      {"attn_rel_b", "layer.0.SelfAttention.relative_attention_bias"},
                      {"attn_norm", "layer.0.layer_norm"},
                      {"ffn_gate", "layer.1.DenseReluDense.wi_0"},
                      {"ffn_up", "layer.1.DenseReluDense.wi_1"},
                      {"ffn_down", "layer.1.DenseReluDense.wo"},
                      {"ffn_norm", "layer.1.layer_norm"}}};
const LlamaNames kDecoder{"blk.",
                          "layers.",
                          {{"token_embd.weight", "embed_tokens.weight"}, {"output_norm.weight", "norm.weight"}, {"output.weight", "lm_head.weight"}},
                          {{"attn_q", "self_attn.q_proj"},
                           {"attn_k", "self_attn.k_proj"},
                           {"attn_v", "self_attn.v_proj"},
                           {"attn_output", "self_attn.o_proj"},
                           {"attn_q_norm", "self_attn.q_norm"},
                           {"attn_k_norm", "self_attn.k_norm"},
                           {"attn_norm", "input_layernorm"},
                           {"ffn_gate", "mlp.gate_proj"},
                           {"ffn_up", "mlp.up_proj"},
                           {"ffn_down", "mlp.down_proj"},
                           {"ffn_norm", "post_attention_layernorm"}}};

std::string name_of(const LlamaNames& names, const std::string& key) {
  if (const auto found = names.whole.find(key); found != names.whole.end()) return found->second;
  static const std::regex block("(enc\\.)?blk\\.([0-9]+)\\.([a-z_]+)\\.(weight|bias)");
  std::smatch found;
  if (!std::regex_match(key, found, block) || !key.starts_with(names.block) || !names.parts.contains(found[3])) return key;
  return names.ours + found[2].str() + "." + names.parts.at(found[3]) + "." + found[4].str();
}

}  // namespace

struct GgufFile::Contents {
  explicit Contents(fs::path path) : file(std::move(path)) {}
  MappedFile file;
  std::map<std::string, Entry> entries;
  std::string architecture;
};

bool GgufFile::is_one(const fs::path& path) { return ending_of(path) == ".gguf"; }
const fs::path& GgufFile::path() const { return contents_->file.path(); }
const std::map<std::string, GgufFile::Entry>& GgufFile::entries() const { return contents_->entries; }
const std::string& GgufFile::architecture() const { return contents_->architecture; }

GgufFile::GgufFile(const fs::path& path) {
  const std::string where = path.string();
  auto contents = std::make_shared<Contents>(path);
  const std::uint64_t size = contents->file.size();
  const std::string_view all(contents->file.data(), size);
  if (!all.starts_with("GGUF")) {
    refuse_stand_in(path, all.substr(0, 256), size);
    reject("this is no GGUF file", where, kAgain);
  }
  Reader reader(all.data(), size, where);
  reader.bytes(4, "its first bytes");
  const auto version = reader.number<std::uint32_t>("its first bytes");
  if (version > 0xFFFF) reject("the file is of a machine that has the other order of bytes", where, "Get it for little-endian machines");
  if (version != 2 && version != 3)
    reject("the file is of version " + std::to_string(version) + " of GGUF; 2 and 3 are known", where, "Write it anew with today's gguf package");
  const std::uint64_t tensors = reader.count("tensors"), keys = reader.count("keys");

  std::uint64_t alignment = 32;
  std::map<std::string, std::vector<std::int64_t>> true_shapes;
  constexpr std::string_view kShape = "comfy.gguf.orig_shape.";
  for (std::uint64_t i = 0; i < keys; ++i) {
    const std::string key = reader.text("the name of key " + std::to_string(i));
    const auto type = reader.number<std::uint32_t>("the value of " + key);
    const Value value = read_value(reader, type, key, where);
    if (key == "general.architecture") contents->architecture = value.text;
    if (key == "general.alignment" && value.numbers.size() == 1) alignment = static_cast<std::uint64_t>(value.numbers[0]);
    if (key == "split.count" && value.numbers.size() == 1 && value.numbers[0] > 1)
      reject("this is one of " + std::to_string(value.numbers[0]) + " parts of a model", where, "Join them by llama.cpp's gguf-split");
    if (key.starts_with(kShape)) true_shapes[key.substr(kShape.size())] = value.numbers;
  }
  if (alignment == 0 || alignment % 8 != 0 || alignment > (1u << 20)) reject("general.alignment is " + std::to_string(alignment), where, kAgain);

  for (std::uint64_t i = 0; i < tensors; ++i) {
    const std::string own_name = reader.text("the name of tensor " + std::to_string(i)), place = where + ", tensor " + own_name;
    const std::string& architecture = contents->architecture;
    const std::string name = architecture.starts_with("t5")     ? name_of(kT5, own_name)
                             : architecture.starts_with("qwen") ? name_of(kDecoder, own_name)
                                                                : own_name;
    const auto sides = reader.number<std::uint32_t>("the shape of " + name);
    if (sides > 8) reject("the tensor has " + std::to_string(sides) + " sides", place, kAgain);
    Entry entry;
    std::uint64_t count = 1;
    for (std::uint32_t side = 0; side < sides; ++side) {
      const auto length = reader.number<std::uint64_t>("the shape of " + name);
      if (__builtin_mul_overflow(count, std::max<std::uint64_t>(length, 1), &count) || count > (1ull << 56)) reject("the shape overflows", place, kAgain);
      entry.shape.insert(entry.shape.begin(), static_cast<std::int64_t>(length));  // the file has the side that lies together first
    }
    if (c10::multiply_integers(entry.shape) == 0) reject("the tensor is empty", place, kAgain);
    const auto number = reader.number<std::uint32_t>("the type of " + name);
    const auto type = std::find_if(known_types().begin(), known_types().end(), [&](const TypeName& one) { return one.number == number; });
    if (type == known_types().end())
      reject("the tensor is of type " + std::to_string(number) + ", which no version of ggml had when this program was written", place,
             "Get the model in Q8_0, Q4_K, Q5_K, Q6_K or BF16");
    entry.type = type->name;
    entry.dtype = type->dtype;
    entry.quantized = type->quantized;
    const std::int64_t columns = entry.columns = entry.shape.empty() ? 1 : entry.shape.back();
    if (columns % type->block != 0)
      reject("its rows of " + std::to_string(columns) + " numbers are no whole number of " + entry.type + "'s blocks of " + std::to_string(type->block), place,
             kAgain);
    const auto offset = reader.number<std::uint64_t>("the place of " + name);
    if (offset % alignment != 0)
      reject("its data begins at byte " + std::to_string(offset) + ", which is no multiple of " + std::to_string(alignment), place, kAgain);
    entry.begin = offset;
    entry.end = offset + count / static_cast<std::uint64_t>(type->block) * static_cast<std::uint64_t>(type->bytes);
    if (entry.end < entry.begin) reject("its data lies outside the file", place, kAgain);
    if (!contents->entries.emplace(name, entry).second) reject("the tensor is there twice", place, kAgain);
  }
  const std::uint64_t data = (reader.at() + alignment - 1) / alignment * alignment;
  std::vector<std::pair<std::uint64_t, std::string>> order;
  for (auto& [name, entry] : contents->entries) {
    const std::string place = where + ", tensor " + name;
    if (data > size || entry.end > size - data) reject("its data lies outside the file's " + std::to_string(size) + " bytes", place, kAgain);
    entry.begin += data;
    entry.end += data;
    order.emplace_back(entry.begin, name);
    if (const auto whole = true_shapes.find(name); whole != true_shapes.end()) {
      std::int64_t left = c10::multiply_integers(entry.shape);
      bool fits = !whole->second.empty();
      for (const std::int64_t side : whole->second) {
        fits = fits && side > 0 && left % side == 0;
        if (fits) left /= side;
      }
      if (!fits || left != 1) reject("its shape, as " + std::string(kShape) + " has it, is of another number of numbers", place, kAgain);
      entry.shape = whole->second;
    }
  }
  std::sort(order.begin(), order.end());
  for (size_t i = 1; i < order.size(); ++i)
    if (contents->entries.at(order[i - 1].second).end > order[i].first)
      reject("its data overlaps that of " + order[i - 1].second, where + ", tensor " + order[i].second, kAgain);
  check_mapped_files();
  contents_ = std::move(contents);
}

const GgufFile::Entry& GgufFile::entry(const std::string& name) const {
  const auto found = entries().find(name);
  if (found == entries().end()) reject("there is no tensor '" + name + "'", path().string());
  return found->second;
}

torch::Tensor GgufFile::tensor(const std::string& name) const {
  const Entry& one = entry(name);
  if (one.quantized) return quantized(name).dequantized(torch::kFloat32).view(one.shape);
  if (one.dtype == torch::ScalarType::Undefined)
    reject("its type " + one.type + " cannot be computed with", path().string() + ", tensor " + name, "Get the model in Q8_0, Q4_K, Q5_K, Q6_K or BF16");
  return torch::from_blob(
      contents_->file.data() + one.begin, one.shape, [contents = contents_](void*) {}, torch::TensorOptions().dtype(one.dtype));
}

QuantizedTensor GgufFile::quantized(const std::string& name) const {
  const Entry& one = entry(name);
  const BlockSize block = block_size(one.quantized.value());
  const std::int64_t row = one.columns / block.numbers * block.bytes;
  const torch::Tensor bytes = torch::from_blob(
      contents_->file.data() + one.begin, {static_cast<std::int64_t>(one.end - one.begin) / row, row}, [contents = contents_](void*) {},
      torch::TensorOptions().dtype(torch::kUInt8));
  return {bytes, {*one.quantized, one.columns, {}}};
}

}  // namespace glyphscope
