#include "pipelines/model_folder.h"

#include <algorithm>

#include "core/error.h"
#include "core/option.h"
#include "io/files.h"
#include "io/resources.h"
#include "pipelines/single_file.h"

namespace glyphscope {
namespace fs = std::filesystem;

fs::path snapshot_of(const fs::path& folder) {
  std::error_code error;
  const fs::path snapshots = folder / "snapshots";
  if (fs::exists(folder / "model_index.json", error) || !fs::is_directory(snapshots, error)) return folder;
  if (fs::exists(folder / "refs" / "main", error)) {
    std::string revision = read_text(folder / "refs" / "main", 4096);
    revision.erase(std::min(revision.find_last_not_of(" \r\n") + 1, revision.size()));
    if (fs::path(revision).filename() == fs::path(revision) && fs::is_directory(snapshots / revision, error)) return snapshots / revision;
  }
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(snapshots, error))
    if (entry.is_directory()) found.push_back(entry.path());
  if (found.size() == 1) return found.front();
  std::string names;
  for (const auto& one : found) names += "\n  " + one.string();
  reject("this is a model's folder in Hugging Face's cache, with " + std::to_string(found.size()) + " revisions and none that refs/main names", folder.string(),
         found.empty() ? "Download the model again" : "Name one of them:" + names);
}

ModelFolder::ModelFolder(fs::path path, std::string source, const std::vector<SingleFileLayout>& layouts, const fs::path& config)
    : folder_(std::move(path)), source_(std::move(source)) {
  std::error_code error;
  if (!fs::exists(folder_, error))
    reject("there is no such model", folder_.string(), "Name a diffusers folder, a checkpoint (.safetensors or .gguf), or a demo model, as demo:sign-unet");
  const std::string extension = ending_of(folder_);
  if (extension == ".ckpt" || extension == ".pt" || extension == ".pth" || extension == ".bin")
    reject("this is a pickle, which can run any code when it is read", folder_.string(),
           "Convert it to safetensors where you trust it: in Python, load it with torch.load(..., weights_only=True) and save it with "
           "safetensors.torch.save_file");
  if (fs::is_directory(folder_, error)) {
    folder_ = snapshot_of(folder_);
  } else {
    if (extension != ".safetensors" && extension != ".gguf") reject("a diffusers folder, or a .safetensors or .gguf file was expected", folder_.string());
    single_file_ = std::make_shared<SingleFile>(folder_, layouts);
    published_ = config.empty();
    if (published_ && single_file_->configs().empty())
      reject("this file holds weights alone: " + single_file_->models(), folder_.string(),
             option(Option::config) +
                 " names a diffusers folder of the same model that has the rest: configurations, tokenizers, and the weights that are not in it");
    folder_ = config.empty() ? resource(fs::path("configs") / single_file_->configs()) : snapshot_of(config);
  }
  if (!single_file_ && !config.empty())
    reject("configurations go with a checkpoint in a single file; this is a folder, which has its own", option(Option::config));
  if (!fs::exists(folder_ / "model_index.json"))
    reject("there is no model_index.json", folder_.string(),
           "A diffusers folder has one beside unet (or transformer), vae, text_encoder, tokenizer and scheduler");
  index_ = Config::read(folder_ / "model_index.json");
  pipeline_class_ = index_.text("_class_name", "");
  if (pipeline_class_.empty()) reject("model_index.json does not name the pipeline's class (_class_name)", folder_.string());
}

Config ModelFolder::config(const std::string& component) const {
  Config config = Config::read(folder_ / component / (component.find("scheduler") == std::string::npos ? "config.json" : "scheduler_config.json"));
  if (!single_file_ || !single_file_->configured().contains(component)) return config;
  nlohmann::json json = config.json();
  json.update(single_file_->configured()[component]);
  return {json, config.where()};
}

Config ModelFolder::scheduler() const {
  Config config = this->config("scheduler");
  nlohmann::json json = config.json();
  // A schedule without signal at its end is to be sampled from that end on (arXiv 2305.08891). A folder that the user named has its own spacing.
  if (published_ && json.value("rescale_betas_zero_snr", false)) json["timestep_spacing"] = "trailing";
  return {json, config.where()};
}

bool ModelFolder::holds_weights(const std::string& component) const {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder_ / component, error))
    if (ending_of(entry.path()) == ".safetensors" || GgufFile::is_one(entry.path())) return true;
  return false;
}

bool ModelFolder::has(const std::string& component) const {
  const auto& json = index_.json();
  if (single_file_ && component.starts_with("text_encoder") && !single_file_->has(component) && !holds_weights(component)) return false;
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

bool ModelFolder::beside_file(const std::string& component) const { return single_file_ && !single_file_->has(component) && holds_weights(component); }

Weights ModelFolder::weights(const std::string& component) const {
  if (!single_file_ || beside_file(component)) {
    Weights out = Weights::find(folder_ / component);
    for (const char* begin : {"model.diffusion_model.", "input_blocks.", "joint_blocks.", "double_blocks."})
      if (any_key(out, begin))
        reject("the weights have the names of the model's authors, where a diffusers folder has diffusers'", out.where(),
               "Open that file itself, with " + option(Option::config) + " and this folder");
    return out;
  }
  return single_file_->weights(component, config(component));
}

ModelHash ModelFolder::hash(const std::vector<fs::path>& weights, const std::vector<std::string>& components) const {
  std::vector<fs::path> files = weights;
  files.push_back(folder_ / "model_index.json");
  for (const auto& component : components)
    for (const auto& entry : fs::directory_iterator(folder_ / component))
      if (const auto type = entry.path().extension(); type == ".json" || type == ".txt" || type == ".model") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  files.erase(std::unique(files.begin(), files.end()), files.end());
  std::vector<std::pair<fs::path, std::string>> named;
  for (const auto& file : files)
    named.emplace_back(file, (single_file_ && file == single_file_->path() ? file.filename() : file.lexically_relative(folder_)).string());
  return ModelHash([named = std::move(named)](const CancelToken& cancel) {
    std::string hashes;
    for (const auto& [file, name] : named) hashes += name + ":" + sha256_file(file, cancel) + "\n";
    return sha256_text(hashes);
  });
}

}  // namespace glyphscope
