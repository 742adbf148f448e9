#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "patching/word_tokens.h"
#include "pipelines/model_folder.h"
#include "text/clip_text_model.h"
#include "text/clip_tokenizer.h"

namespace glyphscope {

/// A CLIP tokenizer and text encoder of a model folder. Weights are loaded by whoever owns it.
struct ClipPrompt {
  /// number: "" or "_2", what the folder's names end in. Throws a Failure.
  ClipPrompt(const ModelFolder& folder, const std::string& number);

  /// One prompt, weights and all (its pooled state knows of none); if it was cut, a note that says what is missing (once, however many encoders cut it alike).
  TextEncoding encode(const std::string& prompt, std::int64_t skip, std::vector<std::string>& notes) const;

  /// Where the prompt's words are among its tokens, which begin at `begin` of the prompt's embedding.
  WordTokens words(const std::string& prompt, std::int64_t begin = 0) const;
  /// Tokens of every prompt.
  std::int64_t length() const { return std::min(tokenizer.max_length(), model.config().max_positions); }

  std::string name;  ///< "text_encoder" or "text_encoder_2"
  ClipTokenizer tokenizer;
  ClipTextModel model;
};

/// A key of a published text encoder without its prefix `text_model.`, which not every file has.
std::string bare_clip_key(const std::string& key);

/// Adds the note that `reader` ("CLIP") did not read `cut`, unless it is empty or the note is there already.
void note_cut(const std::string& reader, const std::string& cut, std::vector<std::string>& notes);

}  // namespace glyphscope
