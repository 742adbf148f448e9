#include "pipelines/model_folder.h"

#include <algorithm>

#include "core/error.h"
#include "io/files.h"
#include "io/weights.h"

namespace glyphscope {
namespace fs = std::filesystem;

ModelFolder::ModelFolder(fs::path folder, std::string source) : folder_(std::move(folder)), source_(std::move(source)) {
  std::error_code error;
  if (!fs::exists(folder_, error)) reject("there is no such model", folder_.string(), "Name a diffusers folder, or a demo model: demo:sign-unet");
  const std::string extension = folder_.extension().string();
  if (extension == ".ckpt" || extension == ".pt" || extension == ".pth" || extension == ".bin")
    reject("this is a pickle, which can run any code when it is read", folder_.string(), "Convert it to a diffusers folder with safetensors");
  if (!fs::is_directory(folder_, error)) reject("a diffusers folder was expected, this is a file", folder_.string());
  if (!fs::exists(folder_ / "model_index.json"))
    reject("there is no model_index.json", folder_.string(), "A diffusers folder has one beside unet, vae, text_encoder, tokenizer and scheduler");
  index_ = Config::read(folder_ / "model_index.json");
  pipeline_class_ = index_.text("_class_name", "");
  if (pipeline_class_.empty()) reject("model_index.json does not name the pipeline's class (_class_name)", folder_.string());
}

bool ModelFolder::has(const std::string& component) const {
  const auto& json = index_.json();
  return json.contains(component) && json[component].is_array() && json[component].size() == 2 && !json[component][1].is_null();
}

void ModelFolder::require(const std::vector<std::string>& components) const {
  std::string missing;
  for (const auto& component : components) {
    const char* config = component == "scheduler" ? "scheduler_config.json" : component.starts_with("tokenizer") ? "" : "config.json";
    const fs::path path = folder_ / component / config;
    if (!fs::exists(path)) missing += (missing.empty() ? "" : ", ") + component + "/" + config;
  }
  if (!missing.empty()) reject("the folder is incomplete: " + missing + " is missing", folder_.string(), "Download the model again");
}

std::string ModelFolder::hash(const std::vector<fs::path>& weights, const std::vector<std::string>& components) const {
  std::vector<fs::path> files = weights;
  files.push_back(folder_ / "model_index.json");
  for (const auto& component : components)
    for (const auto& entry : fs::directory_iterator(folder_ / component))
      if (const auto type = entry.path().extension(); type == ".json" || type == ".txt" || type == ".model") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::string hashes;
  for (const auto& file : files) hashes += fs::relative(file, folder_).string() + ":" + sha256_file(file) + "\n";
  return sha256_text(hashes);
}

}  // namespace glyphscope
