#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "io/config.h"

namespace glyphscope {

/// A diffusers folder: model_index.json and a subfolder for each component.
class ModelFolder {
 public:
  /// Throws a Failure if `folder` is none; `source` is what the user called it.
  ModelFolder(std::filesystem::path folder, std::string source);

  const std::filesystem::path& folder() const { return folder_; }
  const std::string& source() const { return source_; }
  const std::string& pipeline_class() const { return pipeline_class_; }
  /// model_index.json.
  const Config& index() const { return index_; }
  /// Whether the index names a class for this component; one that a pipeline leaves out is [null, null] there.
  bool has(const std::string& component) const;

  /// Throws one Failure that lists every one of these components (and its config.json) that is missing.
  void require(const std::vector<std::string>& components) const;
  /// SHA-256 over what decides the model's images: these weight files, model_index.json, and every configuration and
  /// vocabulary file (.json, .txt, .model) of these components.
  std::string hash(const std::vector<std::filesystem::path>& weights, const std::vector<std::string>& components) const;
  std::filesystem::path operator/(const std::string& component) const { return folder_ / component; }

 private:
  std::filesystem::path folder_;
  std::string source_, pipeline_class_;
  Config index_{nlohmann::json::object(), ""};
};

}  // namespace glyphscope
