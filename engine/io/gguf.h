#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "device/quantization.h"

namespace glyphscope {

/// A GGUF file, memory-mapped. Source of the format: github.com/ggml-org/ggml, docs/gguf.md. Opening checks magic, version (2 and 3), every length against
/// the file's size before anything is allocated by it, names that are there twice, and where each tensor lies. Copies share all of it, and tensors that were
/// read share the mapping. T5's tensors have their names in transformers in place of llama.cpp's.
class GgufFile {
 public:
  struct Entry {
    std::vector<std::int64_t> shape;            ///< As torch has it; of a tensor that its writer stored in another shape, the one that he says it has.
    std::int64_t columns = 1;                   ///< Numbers that lie together in a row.
    std::optional<QuantizedType> quantized;     ///< None: as `dtype`.
    torch::ScalarType dtype = torch::kFloat32;  ///< Of a tensor that is not quantized; undefined: none that torch has.
    std::string type;                           ///< As ggml calls it.
    std::uint64_t begin = 0, end = 0;           ///< Bytes from the start of the file.
  };

  /// Throws a Failure that names the file, and the key or tensor.
  explicit GgufFile(const std::filesystem::path& path);
  /// Whether the file's name ends so.
  static bool is_one(const std::filesystem::path& path);

  const std::filesystem::path& path() const;
  const std::map<std::string, Entry>& entries() const;
  /// "general.architecture": flux, sd3, t5encoder ..; "" if the file does not say.
  const std::string& architecture() const;

  /// Views of the mapped bytes, which they keep alive. Throw a Failure for a name or a type that is unknown.
  torch::Tensor tensor(const std::string& name) const;
  QuantizedTensor quantized(const std::string& name) const;

 private:
  struct Contents;
  const Entry& entry(const std::string& name) const;
  std::shared_ptr<const Contents> contents_;
};

}  // namespace glyphscope
