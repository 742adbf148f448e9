#include "io/safetensors.h"

#include <torch/types.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "io/files.h"
#include "io/mapped_files.h"

namespace glyphscope {
namespace fs = std::filesystem;
static_assert(std::endian::native == std::endian::little, "safetensors is little-endian");

namespace {

// The reference refuses larger headers too (MAX_HEADER_SIZE in safetensors/src/tensor.rs).
constexpr std::uint64_t kMaxHeader = 100'000'000;

// What the format knows (Dtype in safetensors/src/tensor.rs, 0.8). Those without a counterpart in torch can lie in a file, and cannot be read.
struct DtypeName {
  const char* name;
  std::uint64_t bits;
  torch::ScalarType dtype;
};
constexpr DtypeName kDtypes[] = {
    {"F64", 64, torch::kFloat64},
    {"F32", 32, torch::kFloat32},
    {"F16", 16, torch::kFloat16},
    {"BF16", 16, torch::kBFloat16},
    {"I64", 64, torch::kInt64},
    {"I32", 32, torch::kInt32},
    {"I16", 16, torch::kInt16},
    {"I8", 8, torch::kInt8},
    {"U64", 64, torch::kUInt64},
    {"U32", 32, torch::kUInt32},
    {"U16", 16, torch::kUInt16},
    {"U8", 8, torch::kUInt8},
    {"BOOL", 8, torch::kBool},
    {"C64", 64, torch::kComplexFloat},
    {"F8_E5M2", 8, torch::kFloat8_e5m2},
    {"F8_E4M3", 8, torch::kFloat8_e4m3fn},
    {"F8_E8M0", 8, torch::ScalarType::Undefined},
    {"F6_E2M3", 6, torch::ScalarType::Undefined},
    {"F6_E3M2", 6, torch::ScalarType::Undefined},
    {"F4", 4, torch::ScalarType::Undefined},
};

const DtypeName& parse_dtype(const std::string& name, const std::string& where) {
  for (const auto& known : kDtypes)
    if (name == known.name) return known;
  reject("the format has no dtype '" + name + "'", where, "The file is damaged, or of a newer version of the format");
}

std::string stored_dtype(torch::ScalarType dtype) {
  for (const auto& known : kDtypes)
    if (dtype == known.dtype) return known.name;
  reject(std::string("safetensors has no name for dtype ") + torch::toString(dtype));
}

std::uint64_t unsigned_field(const nlohmann::json& value, const std::string& what, const std::string& where) {
  if (!value.is_number_unsigned()) reject(what + " is not a whole number of at least 0", where);
  return value.get<std::uint64_t>();
}

// nlohmann keeps the last of two equal keys; the format forbids them.
nlohmann::json parse_header(const char* begin, const char* end, const std::string& where) {
  std::vector<std::set<std::string>> keys;
  auto callback = [&](int depth, nlohmann::json::parse_event_t event, nlohmann::json& parsed) {
    if (depth > 8) reject("the header is nested too deeply", where);
    using event_t = nlohmann::json::parse_event_t;
    if (event == event_t::object_start) keys.emplace_back();
    if (event == event_t::object_end) keys.pop_back();
    if (event == event_t::key && !keys.back().insert(parsed.get<std::string>()).second)
      reject("the header has the key '" + parsed.get<std::string>() + "' twice", where);
    return true;
  };
  try {
    return nlohmann::json::parse(begin, end, callback);
  } catch (const nlohmann::json::exception& error) {
    reject("the header is malformed JSON: " + json_message(error), where, "The file is damaged; get it again");
  }
}

}  // namespace

struct SafetensorsFile::Contents {
  explicit Contents(fs::path path) : file(std::move(path)) {}
  MappedFile file;
  std::map<std::string, Entry> entries;
  std::map<std::string, std::string> metadata;
};

const fs::path& SafetensorsFile::path() const { return contents_->file.path(); }
const std::map<std::string, SafetensorsFile::Entry>& SafetensorsFile::entries() const { return contents_->entries; }
const std::map<std::string, std::string>& SafetensorsFile::metadata() const { return contents_->metadata; }

SafetensorsFile::SafetensorsFile(const fs::path& path) {
  const std::string where = path.string();
  auto contents = std::make_shared<Contents>(path);
  char* const data = contents->file.data();
  const std::uint64_t size = contents->file.size();
  if (size < 8) reject("the file has " + std::to_string(size) + " bytes, too few for a safetensors header", where, "The file is cut off; get it again");

  std::uint64_t header = 0;
  std::memcpy(&header, data, 8);
  // A header's length may look like how another kind of file begins: only what is none is looked at so.
  if (header > kMaxHeader || header > size - 8) refuse_stand_in(path, {data, static_cast<size_t>(std::min<std::uint64_t>(size, 256))}, size);
  if (header > kMaxHeader || header > size - 8)
    reject("the header claims " + std::to_string(header) + " bytes, the file has " + std::to_string(size), where,
           "This is no safetensors file, or it is cut off; get it again");
  const char* text = data + 8;
  // JSON's white space may stand before it, as for the reference.
  if (const std::string_view all(text, header); all.find_first_not_of(" \t\r\n") == all.npos || all[all.find_first_not_of(" \t\r\n")] != '{')
    reject("the header does not start with '{'", where, "This is no safetensors file");
  nlohmann::json document = parse_header(text, text + header, where);

  const std::uint64_t data_size = size - 8 - header;
  std::map<std::uint64_t, std::pair<std::uint64_t, std::string>> spans;  // begin -> end, name; empty tensors are left out
  for (const auto& [name, value] : document.items()) {
    if (name == "__metadata__") {
      if (value.is_null()) continue;
      if (!value.is_object()) reject("__metadata__ is not an object", where);
      for (const auto& [key, text_value] : value.items()) {
        if (!text_value.is_string()) reject("__metadata__ entry '" + key + "' is not a string", where);
        contents->metadata[key] = text_value.get<std::string>();
      }
      continue;
    }
    const std::string place = where + ", tensor " + name;
    if (!value.is_object() || !value.contains("dtype") || !value["dtype"].is_string() || !value.contains("shape") || !value["shape"].is_array() ||
        !value.contains("data_offsets") || !value["data_offsets"].is_array() || value["data_offsets"].size() != 2)
      reject("the entry needs dtype, shape and two data_offsets", place);
    Entry entry;
    const DtypeName& dtype = parse_dtype(value["dtype"].get<std::string>(), place);
    entry.dtype = dtype.dtype;
    entry.type = dtype.name;
    // What the sides other than 0 make must fit too: strides are counted so.
    std::uint64_t bits = dtype.bits;
    bool empty = false;
    for (const auto& side : value["shape"]) {
      const std::uint64_t length = unsigned_field(side, "a side of the shape", place);
      empty |= length == 0;
      if (__builtin_mul_overflow(bits, std::max<std::uint64_t>(length, 1), &bits) || bits > (1ull << 62)) reject("the shape overflows", place);
      entry.shape.push_back(static_cast<std::int64_t>(length));
    }
    if (empty) bits = 0;
    if (bits % 8 != 0) reject("its numbers do not fill whole bytes", place);
    const std::uint64_t bytes = bits / 8;
    std::uint64_t begin = unsigned_field(value["data_offsets"][0], "data_offsets[0]", place);
    std::uint64_t end = unsigned_field(value["data_offsets"][1], "data_offsets[1]", place);
    if (begin > end || end > data_size)
      reject("data_offsets " + std::to_string(begin) + ".." + std::to_string(end) + " lie outside the file's " + std::to_string(data_size) + " bytes of data",
             place, "The file is cut off or damaged; get it again");
    if (end - begin != bytes) reject("shape and dtype need " + std::to_string(bytes) + " bytes, data_offsets hold " + std::to_string(end - begin), place);
    if (bytes > 0 && !spans.emplace(begin, std::pair(end, name)).second) reject("its data overlaps that of " + spans[begin].second, place);
    entry.begin = 8 + header + begin;
    entry.end = 8 + header + end;
    contents->entries.emplace(name, std::move(entry));
  }
  std::uint64_t covered = 0;
  for (const auto& [begin, span] : spans) {
    if (begin != covered)
      reject(begin < covered ? "its data overlaps that of the tensor before it" : "there is a hole in the data before it", where + ", tensor " + span.second);
    covered = span.first;
  }
  if (covered != data_size) reject(std::to_string(data_size - covered) + " bytes at the end belong to no tensor", where);
  check_mapped_files();
  contents_ = std::move(contents);
}

torch::Tensor SafetensorsFile::tensor(const std::string& name) const {
  const auto found = entries().find(name);
  if (found == entries().end()) reject("there is no tensor '" + name + "'", path().string());
  const Entry& entry = found->second;
  if (entry.dtype == torch::ScalarType::Undefined)
    reject("its dtype " + entry.type + " cannot be computed with", path().string() + ", tensor " + name, "Convert the file to BF16, F16 or F32");
  const auto options = torch::TensorOptions().dtype(entry.dtype);
  if (entry.begin == entry.end) return torch::empty(entry.shape, options);
  char* data = contents_->file.data() + entry.begin;
  // The format does not promise alignment: a tensor after an odd number of bytes is copied.
  if (reinterpret_cast<std::uintptr_t>(data) % torch::elementSize(entry.dtype) != 0) {
    torch::Tensor copy = torch::empty(entry.shape, options);
    std::memcpy(copy.data_ptr(), data, entry.end - entry.begin);
    return copy;
  }
  return torch::from_blob(
      data, entry.shape, [contents = contents_](void*) {}, options);
}

void write_safetensors(const fs::path& path, const std::map<std::string, torch::Tensor>& tensors, const std::map<std::string, std::string>& metadata) {
  std::vector<std::pair<std::string, torch::Tensor>> order;
  for (const auto& [name, tensor] : tensors) order.emplace_back(name, tensor.detach().cpu().contiguous());
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.second.element_size() > b.second.element_size(); });

  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t offset = 0;
  for (const auto& [name, tensor] : order) {
    const std::uint64_t bytes = static_cast<std::uint64_t>(tensor.numel()) * static_cast<std::uint64_t>(tensor.element_size());
    header[name] = {{"dtype", stored_dtype(tensor.scalar_type())}, {"shape", tensor.sizes().vec()}, {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // aligns the data, as the reference does
  const std::uint64_t size = text.size();

  write_atomically(path, [&](const fs::path& temporary) {
    std::ofstream file(temporary, std::ios::binary);
    file.write(reinterpret_cast<const char*>(&size), 8);
    file.write(text.data(), static_cast<std::streamsize>(size));
    for (const auto& [name, tensor] : order)
      file.write(static_cast<const char*>(tensor.data_ptr()), static_cast<std::streamsize>(tensor.numel() * tensor.element_size()));
    file.close();
    if (!file) reject(std::string("cannot write: ") + std::strerror(errno), path.string());
  });
}

}  // namespace glyphscope
