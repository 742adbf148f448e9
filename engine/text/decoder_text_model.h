#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <string>
#include <vector>

#include "io/config.h"
#include "models/layers.h"

namespace glyphscope {

/// A decoder-only language model that is read as a text encoder. Names are those of transformers' `Qwen3Config`.
struct DecoderTextConfig {
  std::int64_t vocab_size = 151936, hidden_size = 4096, intermediate_size = 22016, layers = 32, heads = 32, key_value_heads = 32, head_width = 128;
  double norm_eps = 1e-6, rope_theta = 10000;
  bool qkv_bias = false;  ///< `attention_bias`.
  bool qk_norm = true;    ///< Queries and keys are RMS-normed by the head: Qwen3.
  /// Hidden states are read up to this one: 0 is the embedding, n what the n-th layer gives before any norm. The layers after it are not there.
  std::int64_t states = 0;

  /// Throws a Failure that names a key whose value is wrong, or a kind of model that is not read here.
  static DecoderTextConfig parse(const Config& config);
  bool operator==(const DecoderTextConfig&) const = default;
};

class DecoderTextLayer;

/// transformers' `Qwen3Model` (models/qwen3/modeling_qwen3.py) up to one of its layers. Each token sees itself and those before it.
class DecoderTextModel : public torch::nn::Module {
 public:
  explicit DecoderTextModel(const DecoderTextConfig& config);
  ~DecoderTextModel() override;
  /// ids: [B, T] int64, none of them padding -> the last of the states, [B, T, hidden_size]. Throws a Failure for an id outside the vocabulary.
  torch::Tensor forward(const torch::Tensor& ids) const;
  const DecoderTextConfig& config() const { return config_; }

 private:
  DecoderTextConfig config_;
  std::shared_ptr<Embedding> embed_tokens;
  std::shared_ptr<List<DecoderTextLayer>> layers_;
};

/// The module's key for one of a file, which may hold a model that writes text: "model." and the layers after `states` go. Empty: not read.
std::string decoder_text_key(const std::string& key, std::int64_t states);

}  // namespace glyphscope
