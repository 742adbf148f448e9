#pragma once

#include <torch/types.h>

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/progress.h"
#include "device/placement.h"
#include "device/quantization.h"
#include "io/gguf.h"
#include "io/safetensors.h"

namespace torch::nn {
class Module;
}

namespace glyphscope {

/// The tensors of one component: a single safetensors or GGUF file, or the shards an index file lists. None is read before it is asked for.
class Weights {
 public:
  struct Entry {
    std::vector<std::int64_t> shape;
    torch::ScalarType dtype;              ///< In the file; fp32 of blocks.
    std::function<torch::Tensor()> read;  ///< The numbers, in dtype or in fp32: a view of the mapped file where it holds them so, and its bytes are aligned.
    std::function<QuantizedTensor()> quantized = nullptr;  ///< As they are kept, views of the mapped file; null where the file holds them in 16 bits or more.
    std::uint64_t bytes = 0;                               ///< That they take as they are kept; 0 where they are not.
    std::optional<QuantizedType> type = std::nullopt;      ///< In which they are kept.
  };

  /// Finds the weights in a component's folder: diffusion_pytorch_model or model (.safetensors, or .safetensors.index.json
  /// with shards); else its only GGUF file. Throws a Failure that names what is missing; a pickle is refused with the way out.
  static Weights find(const std::filesystem::path& folder);
  /// Of a safetensors file; of a GGUF file, if its name ends so.
  explicit Weights(const std::filesystem::path& file);
  /// What a part of `file` holds under other names.
  Weights(std::map<std::string, Entry> entries, const std::filesystem::path& file) : entries_(std::move(entries)), where_(file.string()), files_{file} {}

  const std::map<std::string, Entry>& entries() const { return entries_; }
  /// All of them, read.
  std::map<std::string, torch::Tensor> tensors() const;
  /// Where they came from, for error messages.
  const std::string& where() const { return where_; }
  const std::vector<std::filesystem::path>& files() const { return files_; }
  /// SHA-256 of the file, or of all files' together; and of these files of the folder beside them, as far as they are there.
  std::string hash(const std::vector<std::filesystem::path>& beside = {}) const;

 private:
  Weights() = default;
  void add(const SafetensorsFile& file);
  void add(const GgufFile& file);
  std::map<std::string, Entry> entries_;
  std::string where_;
  std::vector<std::filesystem::path> files_;
};

struct LoadOptions {
  Placement placement;
  /// The module's key for a key of the file; "" leaves the key out.
  std::function<std::string(const std::string&)> rename = [](const std::string& key) { return key; };
  /// A module whose convolutions take no more than this has their kernels laid out channels-last, and so all that flows through them: on a CPU they need no
  /// reordering then, and small ones, whose weights are little beside what flows, are a tenth faster. Large ones gain nothing, and would be held twice.
  std::int64_t channels_last_bytes = std::int64_t{512} << 20;
  /// Takes a weight as it is kept, to compute with it so; false: it is to be loaded as numbers, and so are all if there is no such function.
  std::function<bool(const std::string& name, const QuantizedTensor& weight)> keep_quantized = nullptr;
  CancelToken cancel;  ///< Looked at before each tensor: large weights take minutes.
};

/// Sets every parameter of `module` from the weights. All missing, extra and misshapen keys are reported in one Failure; keys below none of the module's parts,
/// which belong to something else that was saved along, are returned where nothing else is wrong.
/// Parameters on the CPU whose dtype is the file's share the file's mapping (copy on write), so loading costs no second copy.
std::vector<std::string> load_weights(torch::nn::Module& module, const Weights& weights, const LoadOptions& options = {});

/// A module's parameters by name, as a checkpoint holds them.
std::map<std::string, torch::Tensor> parameter_map(const torch::nn::Module& module);

/// SHA-256 of a file, hexadecimal.
std::string sha256_file(const std::filesystem::path& file, const CancelToken& cancel = {});
std::string sha256_text(std::string_view text);

}  // namespace glyphscope
