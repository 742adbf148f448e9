#pragma once

#include <torch/types.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/progress.h"
#include "device/placement.h"
#include "io/safetensors.h"

namespace torch::nn {
class Module;
}

namespace glyphscope {

/// The tensors of one component: a single safetensors file, or the shards an index file lists. None is read before it is asked for.
class Weights {
 public:
  struct Entry {
    std::vector<std::int64_t> shape;
    torch::ScalarType dtype;
    std::function<torch::Tensor()> read;  ///< A view of the mapped file where its bytes are aligned.
  };

  /// Finds the weights in a component's folder: diffusion_pytorch_model or model (.safetensors, or .safetensors.index.json
  /// with shards). Throws a Failure that names what is missing; a pickle is refused with the way out.
  static Weights find(const std::filesystem::path& folder);
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
  std::map<std::string, Entry> entries_;
  std::string where_;
  std::vector<std::filesystem::path> files_;
};

/// Whether a key holds what an fp8 weight of the same file is multiplied by, or says that there are such: no weight of the model itself.
bool is_scale_key(const SafetensorsFile& file, const std::string& key);
/// Reads a tensor, times its scale if the file has one for it: "X.scale_weight" or "X.weight_scale" of "X.weight", one number or one a row.
std::function<torch::Tensor()> scaled_reader(const SafetensorsFile& file, const std::string& key);

struct LoadOptions {
  Placement placement;
  /// The module's key for a key of the file; "" leaves the key out.
  std::function<std::string(const std::string&)> rename = [](const std::string& key) { return key; };
  /// A module whose convolutions take no more than this has their kernels laid out channels-last, and so all that flows through them: on a CPU they need no
  /// reordering then, and small ones, whose weights are little beside what flows, are a tenth faster. Large ones gain nothing, and would be held twice.
  std::int64_t channels_last_bytes = std::int64_t{512} << 20;
  CancelToken cancel;  ///< Looked at before each tensor: large weights take minutes.
};

/// Sets every parameter of `module` from the weights. All missing, extra and misshapen keys are reported in one Failure.
/// Parameters on the CPU whose dtype is the file's share the file's mapping (copy on write), so loading costs no second copy.
void load_weights(torch::nn::Module& module, const Weights& weights, const LoadOptions& options = {});

/// A module's parameters by name, as a checkpoint holds them.
std::map<std::string, torch::Tensor> parameter_map(const torch::nn::Module& module);

/// SHA-256 of a file, hexadecimal.
std::string sha256_file(const std::filesystem::path& file);
std::string sha256_text(std::string_view text);

}  // namespace glyphscope
