#include "io/weights.h"

#include <openssl/evp.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <tuple>

#include "core/error.h"
#include "io/files.h"
#include "io/mapped_files.h"

namespace glyphscope {
namespace fs = std::filesystem;

Weights::Weights(const fs::path& file) : where_(file.string()) {
  if (GgufFile::is_one(file)) {
    add(GgufFile(file));
  } else {
    add(SafetensorsFile(file));
  }
}

namespace {

constexpr const char* kScales[] = {".scale_weight", ".weight_scale"};
constexpr const char* kInputScales[] = {".scale_input", ".input_scale"};

// "X.scale_weight" -> "X.weight"; empty for another key.
std::string scaled_key(const std::string& key, const char* ending) {
  return key.ends_with(ending) ? key.substr(0, key.size() - std::string(ending).size()) + ".weight" : std::string();
}

// Whether a key holds what an fp8 weight of the same file is multiplied by, or says that there are such: no weight of the model itself.
bool is_scale_key(const SafetensorsFile& file, const std::string& key) {
  if (key == "scaled_fp8" || key.ends_with(".scaled_fp8")) return true;
  for (const char* ending : {kScales[0], kScales[1], kInputScales[0], kInputScales[1]})
    if (const std::string weight = scaled_key(key, ending); !weight.empty() && file.entries().contains(weight)) return true;
  return false;
}

// What says how ComfyUI's weights are kept: JSON. Of fp8 the scales beside it say all.
bool is_comfy_mark(const SafetensorsFile& file, const std::string& key) {
  if (!key.ends_with(".comfy_quant")) return false;
  const torch::Tensor bytes = file.tensor(key).contiguous();
  const nlohmann::json mark =
      nlohmann::json::parse(std::string(static_cast<const char*>(bytes.data_ptr()), bytes.nbytes()), nullptr, /*allow_exceptions=*/false);
  const std::string format = mark.is_object() ? mark.value("format", nlohmann::json()).dump() : "nothing that can be read";
  if (format != "\"float8_e4m3fn\"" && format != "\"float8_e5m2\"")
    reject("'" + key + "' says that the weight is kept as " + format + ", which is not read", file.path().string(),
           "Use the model in BF16, in FP8 with scales, or as GGUF");
  return true;
}

// Kinds of quantized weights that are known by a key, and not read.
void refuse_quantized(const SafetensorsFile& file) {
  constexpr std::pair<const char*, const char*> kKinds[] = {{".quant_state.bitsandbytes__nf4", "bitsandbytes in NF4"},
                                                            {".quant_state.bitsandbytes__fp4", "bitsandbytes in FP4"},
                                                            {".SCB", "bitsandbytes in int8"},
                                                            {".weight_scale_2", "NVFP4"},
                                                            {".weight_scale_inv", "FP8 with scales of blocks"},
                                                            {".qweight", "GPTQ or AWQ"},
                                                            {".wscales", "Nunchaku (SVDQuant)"}};
  const auto refuse = [&](const std::string& key, const std::string& kind) {
    reject("'" + key + "' says that weights are quantized by " + kind + ", which is not read", file.path().string(),
           "Use the model in BF16, in FP8 with one scale a weight or a row, or as GGUF");
  };
  for (const auto& [key, entry] : file.entries())
    for (const auto& [mark, name] : kKinds)
      if (key.ends_with(mark)) refuse(key, name);
  for (const auto& [key, entry] : file.entries())
    if ((entry.dtype == torch::kInt8 || entry.dtype == torch::kByte) && key.ends_with(".weight")) refuse(key, "integers (" + entry.type + ")");
}

// "X.scale_weight" or "X.weight_scale" of "X.weight"; empty: the file has none. Throws a Failure for one that is no number a weight or a row.
std::string scale_of(const SafetensorsFile& file, const std::string& key) {
  if (!key.ends_with(".weight")) return "";
  for (const char* ending : kScales) {
    std::string scale = key.substr(0, key.size() - 7) + ending;
    const auto found = file.entries().find(scale);
    if (found == file.entries().end()) continue;
    if (found->second.dtype == torch::ScalarType::Undefined || !c10::isFloatingType(found->second.dtype))
      reject("'" + scale + "' is of dtype " + found->second.type + ", which scales of fp8 weights are not read in", file.path().string(),
             "Use a file whose scales are F32, or one in BF16 or F16");
    const auto& weight = file.entries().at(key).shape;
    const std::int64_t count = c10::multiply_integers(found->second.shape);
    if (count != 1 && (weight.empty() || count != weight[0]))
      reject(c10::str("'", scale, "' is ", at::IntArrayRef(found->second.shape), ", one number or one a row of ", at::IntArrayRef(weight), " was expected"),
             file.path().string());
    return scale;
  }
  return "";
}

bool is_fp8(torch::ScalarType dtype) { return dtype == torch::kFloat8_e4m3fn || dtype == torch::kFloat8_e5m2; }

}  // namespace

void Weights::add(const SafetensorsFile& file) {
  files_.push_back(file.path());
  refuse_quantized(file);
  for (const auto& [key, entry] : file.entries()) {
    if (is_scale_key(file, key) || is_comfy_mark(file, key)) continue;
    const std::string name = key, scale = scale_of(file, key);
    Entry& own = entries_[key] = {entry.shape, entry.dtype, [file, name] { return file.tensor(name); }};
    const auto as_kept = [file, name, scale] {
      QuantizedTensor out{file.tensor(name), {}};
      if (!scale.empty()) out.how.scale = file.tensor(scale).to(torch::kFloat32).flatten();
      return out;
    };
    if (is_fp8(entry.dtype)) {
      own.quantized = as_kept;
      own.type = QuantizedType::fp8;
      own.bytes = entry.end - entry.begin;
      if (!scale.empty()) own.read = [as_kept] { return as_kept().dequantized(torch::kFloat32); };
    } else if (!scale.empty()) {  // of another dtype than fp8
      own.read = [as_kept] {
        const QuantizedTensor kept = as_kept();
        return kept.stored.to(torch::kFloat32) * kept.how.scale_beside(kept.stored);
      };
    }
  }
}

void Weights::add(const GgufFile& file) {
  files_.push_back(file.path());
  for (const auto& [key, entry] : file.entries()) {
    const std::string name = key;
    Entry& own = entries_[key] = {entry.shape, entry.quantized ? torch::kFloat32 : entry.dtype, [file, name] { return file.tensor(name); }};
    if (!entry.quantized || entry.shape.size() != 2 || entry.shape[1] != entry.columns) continue;
    own.quantized = [file, name] { return file.quantized(name); };
    own.type = entry.quantized;
    own.bytes = entry.end - entry.begin;
  }
}

std::map<std::string, torch::Tensor> Weights::tensors() const {
  std::map<std::string, torch::Tensor> out;
  for (const auto& [key, entry] : entries_) out[key] = entry.read();
  return out;
}

std::string Weights::hash(const std::vector<fs::path>& beside) const {
  std::string out;
  int count = 0;
  const auto add = [&](const fs::path& file) {
    out += sha256_file(file);
    ++count;
  };
  for (const auto& file : files_) add(file);
  for (const auto& file : beside)
    if (fs::exists(file)) add(file);
  return count == 1 ? out : sha256_text(out);
}

Weights Weights::find(const fs::path& folder) {
  // transformers and diffusers name the same thing differently; a variant ("model.fp16.safetensors") is taken where nothing else is there.
  std::set<std::string> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    for (const std::string stem : {"diffusion_pytorch_model.", "model."})
      for (const std::string end : {".safetensors", ".json"}) {
        std::string name = entry.path().filename().string();
        if (!name.starts_with(stem) || !name.ends_with(end) || name.size() < stem.size() + end.size()) continue;
        name = name.substr(stem.size(), name.size() - stem.size() - end.size());
        if (name.starts_with("safetensors.index.")) name = name.substr(18);
        if (!name.empty() && name.find('.') == name.npos && name.find("-of-") == name.npos) found.insert("." + name);
      }
  std::vector<std::string> variants{"", ".fp32", ".bf16", ".fp16"};  // the most exact first
  for (const auto& one : found)
    if (std::find(variants.begin(), variants.end(), one) == variants.end()) variants.push_back(one);
  std::string missing;
  for (const std::string& variant : variants) {
    for (const std::string stem : {"diffusion_pytorch_model", "model"}) {
      const fs::path file = folder / (stem + variant + ".safetensors"), index = folder / (stem + ".safetensors.index" + variant + ".json");
      // Where there is both, diffusers takes the shards of its models, and transformers the file of its.
      const bool shards_first = stem == "diffusion_pytorch_model" && fs::exists(index);
      if (fs::exists(file) && !shards_first) return Weights(file);
      if (!fs::exists(index)) continue;
      Weights out;
      out.where_ = folder.string();
      const nlohmann::json json = read_json(index);
      if (!json.contains("weight_map") || !json["weight_map"].is_object()) reject("there is no weight_map in it", index.string());
      std::set<std::string> shards;
      for (const auto& [key, shard] : json["weight_map"].items()) {
        const std::string name = shard.is_string() ? shard.get<std::string>() : std::string();
        if (name.empty() || fs::path(name).filename() != fs::path(name)) reject("the shard of '" + key + "' is no file name", index.string());
        shards.insert(name);
      }
      // An index without its shards: perhaps another variant was downloaded.
      const auto gone = std::find_if(shards.begin(), shards.end(), [&](const std::string& shard) { return !fs::exists(folder / shard); });
      if (gone != shards.end()) {
        if (fs::exists(file)) return Weights(file);
        missing = *gone;
        continue;
      }
      for (const auto& shard : shards) {
        const SafetensorsFile opened(folder / shard);
        for (const auto& [key, name] : json["weight_map"].items())
          if (name == shard && !opened.entries().contains(key))
            reject("'" + key + "' should be in " + shard + ", but is not", index.string(), "Download the model again");
        out.add(opened);
      }
      return out;
    }
  }
  if (!missing.empty()) reject("the shard " + missing + " is missing", folder.string(), "Download the model again");
  std::vector<fs::path> ggufs;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (GgufFile::is_one(entry.path())) ggufs.push_back(entry.path());
  if (ggufs.size() == 1) return Weights(ggufs.front());
  if (ggufs.size() > 1)
    reject("there are " + std::to_string(ggufs.size()) + " GGUF files in the folder, and no weights by their usual name", folder.string(),
           "Leave one of them there");
  for (const char* pickle : {"diffusion_pytorch_model.bin", "pytorch_model.bin"})
    if (fs::exists(folder / pickle))
      reject("the weights are a pickle, which can run any code when it is read", (folder / pickle).string(),
             "Convert it to safetensors: in Python, load the model with diffusers and call save_pretrained(..., safe_serialization=True)");
  std::string there;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (ending_of(entry.path()) != ".safetensors") continue;
    if (!fs::exists(entry.path(), error))
      reject("the link leads nowhere: what it names was not downloaded, or is gone", entry.path().string(),
             "Download the model again, or copy it with its files");
    there += (there.empty() ? "" : ", ") + entry.path().filename().string();
  }
  reject("there are no weights by their usual name in the folder", folder.string(),
         there.empty() ? "Download them: diffusion_pytorch_model.safetensors, or model.safetensors of a text encoder"
         : there.find("-of-") != std::string::npos
             ? "It holds parts, " + there + ", and no index of them: download the file that ends in .safetensors.index.json too"
             : "It holds " + there + ": call it model.safetensors, if it is what is meant");
}

std::map<std::string, torch::Tensor> parameter_map(const torch::nn::Module& module) {
  std::map<std::string, torch::Tensor> out;
  for (const auto& item : module.named_parameters()) out[item.key()] = item.value();
  return out;
}

namespace {

// ggml's files have none: a row of numbers may be a matrix of one row.
at::IntArrayRef without_leading_ones(at::IntArrayRef shape) {
  while (!shape.empty() && shape.front() == 1) shape = shape.slice(1);
  return shape;
}

}  // namespace

std::vector<std::string> load_weights(torch::nn::Module& module, const Weights& weights, const LoadOptions& options) {
  torch::NoGradGuard no_grad;
  std::map<std::string, torch::Tensor> parameters = parameter_map(module);
  const auto is_kernel = [](const torch::Tensor& parameter) { return parameter.dim() == 4 && parameter.size(2) * parameter.size(3) > 1; };
  std::int64_t kernel_bytes = 0;
  for (const auto& [name, parameter] : parameters)
    if (is_kernel(parameter)) kernel_bytes += parameter.numel() * static_cast<std::int64_t>(torch::elementSize(options.placement.dtype));
  const bool channels_last = kernel_bytes <= options.channels_last_bytes;
  std::vector<std::string> missing, extra, misshapen, foreign;
  std::set<std::string> seen, parts;
  const auto part_of = [](const std::string& name) { return name.substr(0, name.find('.')); };
  for (const auto& [name, parameter] : parameters) parts.insert(part_of(name));
  for (const auto& [key, entry] : weights.entries()) {
    // A buffer that transformers once saved; it holds 0, 1, 2, ..
    if (key.ends_with("position_ids")) continue;
    const std::string name = options.rename(key);
    if (name.empty()) continue;
    auto found = parameters.find(name);
    if (found == parameters.end()) {
      // What is below none of the model's parts is of something else that was saved along: a loss, an average, an optimizer.
      (parts.contains(part_of(name)) ? extra : foreign).push_back(key);
      continue;
    }
    seen.insert(name);
    options.cancel.check();
    torch::Tensor& parameter = found->second;
    if (without_leading_ones(parameter.sizes()) != without_leading_ones(entry.shape)) {
      misshapen.push_back(key + " is " + c10::str(at::IntArrayRef(entry.shape)) + ", the configuration says " + c10::str(parameter.sizes()));
      continue;
    }
    if (entry.dtype == torch::ScalarType::Undefined || !c10::isFloatingType(entry.dtype)) {
      misshapen.push_back(key + " is of dtype " + torch::toString(entry.dtype) + ", a floating-point one was expected");
      continue;
    }
    if (entry.quantized && options.keep_quantized && options.keep_quantized(name, entry.quantized().to(options.placement.device))) continue;
    parameter.set_data(entry.read()
                           .view(parameter.sizes())
                           .to(options.placement.options())
                           .contiguous(channels_last && is_kernel(parameter) ? torch::MemoryFormat::ChannelsLast : torch::MemoryFormat::Contiguous));
  }
  for (const auto& [name, parameter] : parameters)
    if (!seen.contains(name)) missing.push_back(name);
  check_mapped_files();
  if (missing.empty() && extra.empty() && misshapen.empty()) return foreign;
  extra.insert(extra.end(), foreign.begin(), foreign.end());

  std::string what = "the weights do not fit the configuration";
  auto list = [&](const char* title, const std::vector<std::string>& keys) {
    if (keys.empty()) return;
    what += std::string("; ") + title + " " + std::to_string(keys.size()) + ":";
    for (const auto& key : keys) what += "\n  " + key;
  };
  list("missing", missing);
  list("extra", extra);
  list("of another shape or dtype", misshapen);
  reject(what, weights.where(), "config.json and weights belong to different models, or the file is damaged");
}

namespace {

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) { EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr); }
  void add(const void* data, size_t size) { EVP_DigestUpdate(context_.get(), data, size); }
  std::string hex() {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    EVP_DigestFinal_ex(context_.get(), digest, &size);
    constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    for (unsigned int i = 0; i < size; ++i) {
      text += kDigits[digest[i] >> 4];
      text += kDigits[digest[i] & 15];
    }
    return text;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

}  // namespace

std::string sha256_file(const fs::path& path, const CancelToken& cancel) {
  // A model's weights are hashed more than once in a run, and may be many gigabytes: remembered while the file does not change.
  static std::mutex mutex;
  static std::map<std::tuple<std::string, std::uintmax_t, fs::file_time_type>, std::string> known;
  std::error_code error;
  const auto size = fs::file_size(path, error);
  const auto time = error ? fs::file_time_type() : fs::last_write_time(path, error);
  const std::tuple key(error ? std::string() : fs::canonical(path, error).string(), size, time);
  if (!error) {
    const std::lock_guard lock(mutex);
    if (auto found = known.find(key); found != known.end()) return found->second;
  }
  check_regular(path);
  std::ifstream file(path, std::ios::binary);
  if (!file) reject("cannot read", path.string());
  Sha256 hash;
  std::vector<char> buffer(1 << 20);
  while (file.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || file.gcount() > 0) {
    cancel.check();
    hash.add(buffer.data(), static_cast<size_t>(file.gcount()));
  }
  std::string out = hash.hex();
  // A small one may be written again within the clock's grain.
  if (!error && size > (1u << 20)) {
    const std::lock_guard lock(mutex);
    known[key] = out;
  }
  return out;
}

std::string sha256_text(std::string_view text) {
  Sha256 hash;
  hash.add(text.data(), text.size());
  return hash.hex();
}

}  // namespace glyphscope
