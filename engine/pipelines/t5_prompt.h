#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/soon.h"
#include "patching/word_tokens.h"
#include "pipelines/prompt_encoder.h"
#include "text/t5_encoder.h"
#include "text/t5_tokenizer.h"

namespace glyphscope {

/// A T5 tokenizer and encoder of a model folder. The published T5 is larger than most denoisers.
class T5Prompt : public AdaptableEncoder {
 public:
  /// number: "", "_2" or "_3", what the folder's names end in. No weights are loaded. Throws a Failure.
  T5Prompt(const ModelFolder& folder, const std::string& number, const Opening& opening);

  struct Options {
    std::int64_t most_tokens = 77;  ///< Of the prompt; fewer if the tokenizer says so.
    bool masks_padding = false;
  };
  /// One prompt, weights and all, [1, T, width] in the encoder's dtype, on its device; if it was cut, a note that says what is missing. The encoder is loaded
  /// if the prompt is new and it is not there.
  torch::Tensor encode(const std::string& prompt, const Options& options, std::vector<std::string>& notes) const;
  /// Where the prompt's words are among its tokens, which begin at `begin` of the prompt's embedding.
  WordTokens words(const std::string& prompt, const Options& options, std::int64_t begin = 0) const;
  std::int64_t width() const { return encoder_.config().d_model; }

  PromptEncoder<T5Encoder, T5Config>& encoder() { return encoder_; }

  const std::string& component() const override { return encoder_.name(); }
  bool is_t5() const override { return true; }
  void read_tokenizer() const override { *tokenizer_; }
  torch::nn::Module& network() override { return encoder_.load(); }
  void set_attached(std::vector<Attach> attached) override {
    if (attached.empty() && !encoder_.has_attached()) return;  // what was read stays read
    read_.forget();
    encoder_.set_attached(std::move(attached));
  }
  void set_training(bool training) override {
    read_.forget();
    encoder_.set_training(training);
  }

 private:
  Soon<T5Tokenizer> tokenizer_;
  mutable PromptEncoder<T5Encoder, T5Config> encoder_;  // its weights come and go
  mutable PromptMemory<torch::Tensor> read_;
};

}  // namespace glyphscope
