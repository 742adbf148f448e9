#pragma once

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "models/block_stream.h"
#include "pipelines/adaptable_encoder.h"
#include "pipelines/components.h"
#include "pipelines/model_folder.h"
#include "pipelines/pipeline.h"

namespace glyphscope {

/// A text encoder of a model folder, whose weights are there while prompts are read, and after that if there is room.
/// Model: a module that is made of a Config.
template <class Model, class Config>
class PromptEncoder {
 public:
  /// held_bytes: what its weights may take and stay. No weights are loaded.
  PromptEncoder(const ModelFolder& folder, std::string name, Config config, std::function<std::string(const std::string&)> rename, const Opening& opening,
                std::int64_t held_bytes)
      : folder_(folder), name_(std::move(name)), config_(std::move(config)), rename_(std::move(rename)), plan_(opening.plan), held_bytes_(held_bytes) {}

  const std::string& name() const { return name_; }
  const Config& config() const { return config_; }

  /// Its weights are there afterwards. Throws a Failure; then none are.
  Model& load(const CancelToken& cancel = {}) {
    if (model_) return *model_;
    const torch::InferenceMode also_for_streams(false);  // which replace what parameters hold
    auto fresh = std::make_unique<Model>(config_);
    auto stream = load_to(plan_, name_, *fresh, folder_.weights(name_), rename_, cancel);
    for (auto& parameter : fresh->parameters()) parameter.set_requires_grad(false);
    std::vector<std::shared_ptr<void>> attached;
    for (const auto& attach : attach_) attached.push_back(attach(*fresh));
    attached_ = std::move(attached);
    stream_ = std::move(stream);
    model_ = std::move(fresh);
    return *model_;
  }
  bool has_attached() const { return !attach_.empty(); }
  void set_attached(std::vector<AdaptableEncoder::Attach> attached) {
    attached_.clear();
    attach_.clear();
    std::vector<std::shared_ptr<void>> made;
    if (model_)
      for (const auto& attach : attached) made.push_back(attach(*model_));
    attached_ = std::move(made);
    attach_ = std::move(attached);
  }
  bool loaded() const { return model_ != nullptr; }
  /// While it is trained its weights stay.
  void set_training(bool training) { training_ = training; }
  bool training() const { return training_; }
  /// Frees the weights if they take more than they may.
  void release() {
    if (!model_ || training_) return;
    std::int64_t bytes = 0;
    for (const auto& parameter : model_->parameters()) bytes += static_cast<std::int64_t>(parameter.nbytes());
    if (bytes <= held_bytes_) return;
    attached_.clear();
    model_.reset();
    stream_.reset();
  }

 private:
  ModelFolder folder_;
  std::string name_;
  Config config_;
  std::function<std::string(const std::string&)> rename_;
  MemoryPlan plan_;
  std::int64_t held_bytes_;
  bool training_ = false;
  std::unique_ptr<BlockStream> stream_;
  std::unique_ptr<Model> model_;
  std::vector<AdaptableEncoder::Attach> attach_;
  std::vector<std::shared_ptr<void>> attached_;  // to the model
};

/// What was read of prompts of late, as a localization asks for its pairs again with each set of sites.
template <class States>
class PromptMemory {
 public:
  explicit PromptMemory(std::uint64_t most_bytes) : most_bytes_(most_bytes) {}

  /// key: the prompt and how it is read. read: (notes to add to) -> states, which know their nbytes(). A prompt's notes are given each time, if they are not
  /// there.
  const States& get(const std::string& key, std::vector<std::string>& notes, const std::function<States(std::vector<std::string>&)>& read) {
    auto found = read_.find(key);
    if (found == read_.end()) {
      Read fresh;
      fresh.states = read(fresh.notes);
      if (bytes_ > most_bytes_) read_.clear(), bytes_ = 0;
      bytes_ += fresh.states.nbytes();
      found = read_.emplace(key, std::move(fresh)).first;
    }
    for (const auto& note : found->second.notes)
      if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
    return found->second.states;
  }
  void forget() {
    read_.clear();
    bytes_ = 0;
  }

 private:
  struct Read {
    States states;
    std::vector<std::string> notes;
  };
  std::uint64_t most_bytes_, bytes_ = 0;
  std::map<std::string, Read> read_;
};

/// For most_bytes of a PromptMemory there.
inline std::uint64_t remembered_bytes(torch::Device device) { return std::uint64_t{device.is_cpu() ? 512u : 64u} << 20; }

}  // namespace glyphscope
