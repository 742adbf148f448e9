#pragma once

#include <torch/nn/module.h>

#include "io/config.h"
#include "models/layers.h"

namespace glyphscope {

/// Names are those of diffusers' `LDMBertConfig`.
struct LdmBertConfig {
  std::int64_t vocab_size = 30522, d_model = 1280, feed_forward = 5120, layers = 32, heads = 8, head_width = 64, max_positions = 77;
  static LdmBertConfig parse(const Config& config);
};

class LdmBertLayer;

/// The text encoder of latent diffusion, trained with it. Mirrors diffusers' `LDMBertModel`
/// (pipelines/latent_diffusion/pipeline_latent_diffusion.py) without its logits.
class LdmBert : public torch::nn::Module {
 public:
  explicit LdmBert(const LdmBertConfig& config);
  ~LdmBert() override;
  /// ids: [B, T] int64, T at most max_positions -> [B, T, d_model]. Throws a Failure for an id outside the vocabulary.
  torch::Tensor forward(const torch::Tensor& ids) const;
  const LdmBertConfig& config() const { return config_; }

 private:
  LdmBertConfig config_;
  std::shared_ptr<Embedding> embed_tokens, embed_positions;
  std::shared_ptr<List<LdmBertLayer>> layers_;
  std::shared_ptr<LayerNorm> layer_norm;
};

/// The module's key for one of a file; the layer of logits is left out.
std::string ldm_bert_key(const std::string& key);

}  // namespace glyphscope
