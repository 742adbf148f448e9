#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "core/soon.h"
#include "patching/word_tokens.h"
#include "pipelines/prompt_encoder.h"
#include "text/chat_tokenizer.h"
#include "text/decoder_text_model.h"

namespace glyphscope {

/// A language model of a model folder that reads prompts, with its tokenizer. It is larger than many denoisers. Adapters are not attached to it.
class ChatPrompt {
 public:
  struct Options {
    ChatTurn turn;
    std::int64_t most_tokens = 512;  ///< Of the turn; what comes after is cut.
    std::int64_t rows = 1;           ///< The embedding has a multiple of so many.
    std::int64_t layers_left = 1;    ///< The states are those before so many last layers.
  };
  /// No weights are loaded. Throws a Failure.
  ChatPrompt(const ModelFolder& folder, const Opening& opening, Options options);

  struct States {
    torch::Tensor embedding;  ///< [1, T, width] in the encoder's dtype, on its device; zeros where there is no token.
    torch::Tensor mask;       ///< [1, T] bool, there: where there is one.
    std::uint64_t nbytes() const { return embedding.nbytes() + mask.nbytes(); }
  };
  /// One prompt; if it was cut, a note that says what is missing. The encoder is loaded if the prompt is new and it is not there. Throws a Failure for a prompt
  /// with weights.
  States encode(const std::string& prompt, std::vector<std::string>& notes) const;
  WordTokens words(const std::string& prompt) const;
  std::int64_t width() const { return encoder_.config().hidden_size; }

  PromptEncoder<DecoderTextModel, DecoderTextConfig>& encoder() { return encoder_; }

 private:
  std::int64_t rows_for(std::int64_t tokens) const { return (tokens + options_.rows - 1) / options_.rows * options_.rows; }

  Options options_;
  Soon<ChatTokenizer> tokenizer_;
  mutable PromptEncoder<DecoderTextModel, DecoderTextConfig> encoder_;  // its weights come and go
  mutable PromptMemory<States> read_;
};

}  // namespace glyphscope
