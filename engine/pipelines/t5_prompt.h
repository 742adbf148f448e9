#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "patching/word_tokens.h"
#include "pipelines/model_folder.h"
#include "pipelines/pipeline.h"
#include "text/t5_encoder.h"
#include "text/t5_tokenizer.h"

namespace glyphscope {

/// A T5 tokenizer and encoder of a model folder. The published T5 is larger than most denoisers, so its weights are there only while prompts
/// are read.
class T5Prompt {
 public:
  /// number: "", "_2" or "_3", what the folder's names end in. No weights are loaded. Throws a Failure.
  T5Prompt(const ModelFolder& folder, const std::string& number, const Opening& opening);

  struct Options {
    std::int64_t most_tokens = 77;  ///< Of the prompt; fewer if the tokenizer says so.
    bool masks_padding = false;
  };
  /// One prompt, weights and all, [1, T, width] in the encoder's dtype, on its device; if it was cut, a note that says what is missing. Prompts of before are
  /// remembered, as a localization asks for its pairs again with each set of sites; for others the weights are loaded if they are not there.
  torch::Tensor encode(const std::string& prompt, const Options& options, std::vector<std::string>& notes);
  /// Where the prompt's words are among its tokens, which begin at `begin` of the prompt's embedding.
  WordTokens words(const std::string& prompt, const Options& options, std::int64_t begin = 0) const;
  std::int64_t width() const { return config_.d_model; }

  const std::string& name() const { return name_; }  ///< "text_encoder", "text_encoder_2" or "text_encoder_3"
  torch::ScalarType dtype() const { return placement_.dtype; }
  /// Loads the weights, and hands them out to be counted. Throws a Failure; then none are there.
  T5Encoder& load();
  bool loaded() const { return encoder_ != nullptr; }
  /// Frees the weights if they take more than Opening::held_encoder_bytes.
  void release();

 private:
  ModelFolder folder_;
  std::string name_;
  Placement placement_;
  std::int64_t held_bytes_;
  T5Tokenizer tokenizer_;
  T5Config config_;
  std::unique_ptr<T5Encoder> encoder_;
  struct Read {
    torch::Tensor states;
    std::vector<std::string> notes;
  };
  std::map<std::string, Read> read_;  // by prompt and options
  std::uint64_t read_bytes_ = 0;
};

}  // namespace glyphscope
