#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/model_hash.h"
#include "io/config.h"
#include "io/weights.h"

namespace glyphscope {

class SingleFile;
struct SingleFileLayout;

/// Hugging Face's cache has a folder a model, "models--AUTHOR--NAME", and its revisions below "snapshots": the one that refs/main names, or the only one;
/// another folder is itself. Throws a Failure if there are several.
std::filesystem::path snapshot_of(const std::filesystem::path& folder);

/// A diffusers folder: model_index.json and a subfolder for each component. Or one without weights, and beside it the
/// checkpoint in a single file that has them.
class ModelFolder {
 public:
  /// `path`: a diffusers folder, or a checkpoint in a single file that is laid out in one of these ways. `config`: the diffusers
  /// folder whose configurations and tokenizers go with such a file; empty: those its authors published. `source`: what the user
  /// called it. Throws a Failure that says what is wrong with it.
  ModelFolder(std::filesystem::path path, std::string source, const std::vector<SingleFileLayout>& layouts, const std::filesystem::path& config = {});

  /// The diffusers folder.
  const std::filesystem::path& folder() const { return folder_; }
  const std::string& source() const { return source_; }
  const std::string& pipeline_class() const { return pipeline_class_; }
  /// model_index.json.
  const Config& index() const { return index_; }
  /// Whether the index names a class for this component; one that a pipeline leaves out is [null, null] there. A text encoder
  /// that neither a single file nor the folder beside it holds is left out too.
  bool has(const std::string& component) const;

  /// Throws one Failure that lists every one of these components (and its config.json) that is missing.
  void require(const std::vector<std::string>& components) const;
  /// A component's weights; one that a single file lacks comes from the folder beside it. Throws a Failure.
  Weights weights(const std::string& component) const;
  /// Whether a component's weights are the folder's, as the single file has none.
  bool beside_file(const std::string& component) const;
  /// SHA-256 over what decides the model's images: these weight files, model_index.json, and every configuration and
  /// vocabulary file (.json, .txt, .model) of these components.
  ModelHash hash(const std::vector<std::filesystem::path>& weights, const std::vector<std::string>& components) const;
  /// A component's configuration, with what a single file says instead. Throws a Failure.
  Config config(const std::string& component) const;
  Config scheduler() const;
  std::filesystem::path operator/(const std::string& component) const { return folder_ / component; }

 private:
  bool holds_weights(const std::string& component) const;
  std::filesystem::path folder_;
  std::shared_ptr<const SingleFile> single_file_;
  bool published_ = false;  // its configurations are those that its authors published
  std::string source_, pipeline_class_;
  Config index_{nlohmann::json::object(), ""};
};

}  // namespace glyphscope
