#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace glyphscope {

/// A safetensors file, memory-mapped. Source of the format: https://github.com/huggingface/safetensors (README, "Format").
/// Opening checks every rule of it (header length, JSON object, no duplicate key, known dtype, offsets that are ordered,
/// in range, without hole or overlap, and as large as shape and dtype say), before anything is allocated by a length
/// that the file claims. Copies share all of it, and tensors that were read share the mapping.
class SafetensorsFile {
 public:
  struct Entry {
    torch::ScalarType dtype;  ///< Undefined: none that torch has.
    std::string type;         ///< As the file names it.
    std::vector<std::int64_t> shape;
    std::uint64_t begin;  ///< Byte offset from the start of the file.
    std::uint64_t end;
  };

  /// Throws a Failure that names the file and the tensor.
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const;
  const std::map<std::string, Entry>& entries() const;
  const std::map<std::string, std::string>& metadata() const;

  /// A view of the mapped bytes (copy on write: the file never changes); it keeps the mapping alive. Throws a Failure for an
  /// unknown name.
  torch::Tensor tensor(const std::string& name) const;

 private:
  struct Contents;
  std::shared_ptr<const Contents> contents_;
};

/// Writes tensors in their own dtype, sorted by decreasing alignment and then by name as the reference does. Atomic.
void write_safetensors(const std::filesystem::path& path, const std::map<std::string, torch::Tensor>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace glyphscope
