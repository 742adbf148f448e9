#pragma once

#include <torch/nn/module.h>

#include "io/config.h"
#include "models/layers.h"

namespace glyphscope {

/// Names are those of transformers' `T5Config`.
struct T5Config {
  std::int64_t vocab_size = 32128, d_model = 512, d_kv = 64, d_ff = 2048, layers = 6, heads = 8;
  std::int64_t buckets = 32, max_distance = 128;
  double norm_eps = 1e-6;
  bool gated = false;  ///< v1.1's "gated-gelu"; else "relu".

  static T5Config parse(const Config& config);
  bool operator==(const T5Config&) const = default;
};

class T5Block;

/// transformers' `T5EncoderModel` (models/t5/modeling_t5.py). Keys are those of its encoder and `shared.weight`.
class T5Encoder : public torch::nn::Module {
 public:
  explicit T5Encoder(const T5Config& config);
  ~T5Encoder() override;
  /// ids: [B, T] int64; mask: [B, T], 0 where nothing is to be attended to, or undefined -> [B, T, d_model]. Throws a Failure
  /// for an id outside the vocabulary.
  torch::Tensor forward(const torch::Tensor& ids, const torch::Tensor& mask = {}) const;
  const T5Config& config() const { return config_; }

 private:
  torch::Tensor position_bias(std::int64_t tokens) const;

  T5Config config_;
  std::shared_ptr<Embedding> shared, relative_attention_bias;
  std::shared_ptr<List<T5Block>> blocks_;
  std::shared_ptr<RmsNorm> final_layer_norm;
};

/// The module's key for one of a file: files hold the token embedding under one name, the other, or both. Empty for the
/// decoder of a whole T5.
std::string t5_key(const std::string& key);

}  // namespace glyphscope
