#pragma once

#include <torch/types.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pipelines/model_folder.h"
#include "pipelines/pipeline.h"

namespace torch::nn {
class Module;
}

namespace glyphscope {

class BlockStream;

/// The components of a model that is being opened: their weights are loaded, counted and hashed here.
class Components {
 public:
  /// names: those that the model has, in the order in which they are listed.
  Components(ModelFolder folder, std::vector<std::string> names, Opening opening);
  ~Components();

  /// Loads a component's weights to where the plan has them, and counts them; its blocks are not to be run after this is gone. Throws a Failure.
  void load(const std::string& component, torch::nn::Module& module, const std::function<std::string(const std::string&)>& rename);
  /// The same of a text encoder, which may go once it has read prompts.
  template <class Encoder>
  void load(Encoder& encoder) {
    count(encoder.name(), encoder.load(opening_.cancel));
  }

  /// Whether blocks of what was loaded here are copied to the device when they are to compute.
  bool streams_denoiser() const { return !streams_.empty(); }
  bool has(const std::string& name) const;
  const ModelFolder& folder() const { return folder_; }
  const MemoryPlan& plan() const { return opening_.plan; }
  /// Of those that were loaded, in that order.
  const std::vector<std::pair<std::string, std::int64_t>>& parameters() const { return parameters_; }
  /// SHA-256 over the weights that were loaded, and the configurations and vocabularies of all components.
  ModelHash hash() const { return folder_.hash(weight_files_, names_); }
  /// What of the files is not used, and what comes from elsewhere.
  const std::vector<std::string>& notes() const { return notes_; }
  /// Throws a Failure that names the first tensor whose numbers are not finite, or absurdly large; returns if there is none.
  void find_damaged() const;

 private:
  void count(const std::string& component, torch::nn::Module& module);

  ModelFolder folder_;
  std::vector<std::string> names_;
  Opening opening_;
  std::vector<std::filesystem::path> weight_files_;
  std::vector<std::pair<std::string, std::int64_t>> parameters_;
  std::vector<std::unique_ptr<BlockStream>> streams_;
  std::vector<std::string> notes_;
};

/// Loads a component's weights to where the plan has them. What is returned copies its blocks to the device, and must outlive their use; null where all are
/// there. unused: gets what load_weights() returns, if it is not null. Throws a Failure.
std::unique_ptr<BlockStream> load_to(const MemoryPlan& plan, const std::string& component, torch::nn::Module& module, const Weights& weights,
                                     const std::function<std::string(const std::string&)>& rename, const CancelToken& cancel,
                                     std::vector<std::string>* unused = nullptr);

}  // namespace glyphscope
