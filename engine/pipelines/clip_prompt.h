#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/soon.h"
#include "patching/word_tokens.h"
#include "pipelines/prompt_encoder.h"
#include "text/clip_text_model.h"
#include "text/clip_tokenizer.h"

namespace glyphscope {

/// A CLIP tokenizer and text encoder of a model folder.
class ClipPrompt : public AdaptableEncoder {
 public:
  /// number: "" or "_2", what the folder's names end in. No weights are loaded. Throws a Failure.
  ClipPrompt(const ModelFolder& folder, const std::string& number, const Opening& opening);

  /// One prompt, weights and all (its pooled state knows of none); if it was cut, a note that says what is missing (once, however many encoders cut it alike).
  /// The encoder is loaded if the prompt is new and it is not there.
  TextEncoding encode(const std::string& prompt, std::int64_t skip, std::vector<std::string>& notes) const;

  /// Where the prompt's words are among its tokens, which begin at `begin` of the prompt's embedding.
  WordTokens words(const std::string& prompt, std::int64_t begin = 0) const;
  /// Tokens of every prompt.
  std::int64_t length() const;
  const ClipTextConfig& config() const { return encoder_.config(); }

  PromptEncoder<ClipTextModel, ClipTextConfig>& encoder() { return encoder_; }

  const std::string& component() const override { return encoder_.name(); }
  bool is_t5() const override { return false; }
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
  Soon<ClipTokenizer> tokenizer_;
  mutable PromptEncoder<ClipTextModel, ClipTextConfig> encoder_;  // its weights come and go
  mutable PromptMemory<TextEncoding> read_;
};

/// A key of a published text encoder without its prefix `text_model.`, which not every file has.
std::string bare_clip_key(const std::string& key);

/// Throws a Failure that names the first token whose id is not under `known`, what the encoder `component` has embeddings for.
void check_known(const Tokens& tokens, std::int64_t known, const std::string& component);

/// Adds the note that `reader` ("CLIP") did not read `cut`, unless it is empty or the note is there already.
void note_cut(const std::string& reader, const std::string& cut, std::vector<std::string>& notes);

}  // namespace glyphscope
