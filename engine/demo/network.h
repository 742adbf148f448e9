#pragma once

#include <torch/types.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "demo/recipe.h"
#include "demo/sign_tokenizer.h"

namespace torch::nn {
class Module;
}

namespace glyphscope {

/// What of a demo model learns to write: text encoders and denoiser, wired as their family's pipeline wires them.
class DemoNetwork {
 public:
  /// With uninitialised weights. Throws a Failure.
  static std::unique_ptr<DemoNetwork> make(const DemoRecipe& recipe, const SignVocabulary& vocabulary);
  virtual ~DemoNetwork() = default;

  /// One folder of the model.
  struct Part {
    std::string folder;
    std::shared_ptr<torch::nn::Module> module;
    nlohmann::ordered_json config;

    std::string file() const;                            ///< Of its weights, in its folder.
    std::string file_key(const std::string& key) const;  ///< What the file calls a parameter of the module.
    void load(const std::filesystem::path& model) const;
  };
  const std::vector<Part>& parts() const { return parts_; }
  /// Folder and class of each tokenizer.
  const std::vector<std::pair<std::string, std::string>>& tokenizers() const { return tokenizers_; }

  /// Random weights to start from.
  virtual void initialize(const torch::Generator& generator);
  /// Writes the tokenizers into the model's folder; tokenize() uses those.
  virtual void write_tokenizers(const std::filesystem::path& model) = 0;
  /// Ids of a prompt for all text encoders, one after the other.
  virtual std::vector<std::int64_t> tokenize(const std::string& prompt) const = 0;
  /// noisy: [B, C, H, W], timestep: [B] fp32, ids: [B, N] as tokenize() gives them -> [B, C, H, W], or twice the channels where the
  /// network also says a variance.
  virtual torch::Tensor predict(const torch::Tensor& noisy, const torch::Tensor& timestep, const torch::Tensor& ids) const = 0;

 protected:
  std::vector<Part> parts_;
  std::vector<std::pair<std::string, std::string>> tokenizers_;
};

}  // namespace glyphscope
