#pragma once

#include <torch/nn/module.h>

#include "io/config.h"
#include "models/layers.h"
#include "text/clip_encoder.h"

namespace glyphscope {

/// Names are those of transformers' `CLIPTextConfig`.
struct ClipTextConfig : ClipLayersConfig {
  std::int64_t vocab_size = 49408, max_positions = 77, eos_token_id = 2;
  std::int64_t projection = 0;  ///< Width that the pooled state is projected to (`CLIPTextModelWithProjection`); 0: it is not.

  static ClipTextConfig parse(const Config& config);
};

/// What a text encoder gives a denoiser.
struct TextEncoding {
  torch::Tensor embedding;  ///< [B, T, hidden]: the last hidden state asked for, after the final norm.
  torch::Tensor hidden;     ///< [B, T, hidden]: the same before the final norm.
  torch::Tensor pooled;     ///< [B, hidden]: the final-normed last state of the end-of-text token; projected where the model does.

  size_t nbytes() const { return embedding.nbytes() + hidden.nbytes() + pooled.nbytes(); }
};

/// transformers' `CLIPTextModel` and `CLIPTextModelWithProjection` (models/clip/modeling_clip.py). Keys are those without the prefix `text_model.`; the
/// loader strips it where a file has it.
class ClipTextModel : public torch::nn::Module {
 public:
  explicit ClipTextModel(const ClipTextConfig& config);
  /// ids: [B, T] int64, T at most max_positions. `skip`: how many last layers `embedding` and `hidden` leave out (clip
  /// skip); `pooled` leaves out none. Throws a Failure for an id outside the vocabulary, too long a text, or too high a skip.
  TextEncoding forward(const torch::Tensor& ids, std::int64_t skip = 0) const;
  const ClipTextConfig& config() const { return config_; }

 private:
  ClipTextConfig config_;
  std::shared_ptr<torch::nn::Module> embeddings;
  std::shared_ptr<Embedding> token_embedding, position_embedding;
  std::shared_ptr<ClipEncoder> encoder;
  std::shared_ptr<LayerNorm> final_layer_norm;
  std::shared_ptr<Linear> text_projection;
};

}  // namespace glyphscope
