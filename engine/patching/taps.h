#pragma once

#include <torch/types.h>

#include <functional>

namespace glyphscope {

/// Keys and values of the prompt's tokens, each [batch, heads, tokens, head dimension].
struct KeyValue {
  torch::Tensor key;
  torch::Tensor value;
};

/// What an attention layer has computed of, [batch, heads, tokens, head dimension] each. Its keys are the prompt's tokens, or the picture's, or both; its
/// queries the picture's, or both.
struct AttentionCall {
  torch::Tensor query, key, value;
  std::int64_t prompt = 0, prompt_end = 0;    ///< The prompt's keys; none where the picture attends to itself alone.
  std::int64_t picture = 0, picture_end = 0;  ///< The picture's queries.
};

/// The hook point. A denoiser hands one Taps down its forward call to every attention layer; no module keeps it.
class Taps {
 public:
  /// Makes K and V of a prompt embedding [batch, tokens, width] with the projections of the layer that asks.
  using Project = std::function<KeyValue(const torch::Tensor& embedding)>;

  virtual ~Taps() = default;

  /// Entered by every attention layer, self-attention included. May throw to stop the run here.
  virtual void enter_attention() {}

  /// What a site attends to. `embedding` is the prompt embedding that the layer was given; without taps the layer uses
  /// project(embedding).
  virtual KeyValue prompt_kv(int site, const torch::Tensor& embedding, const Project& project) {
    (void)site;
    return project(embedding);
  }

  /// What a layer goes on with, [batch, heads, queries, head dimension]: of every layer, what it attended to, or something else in its place.
  virtual torch::Tensor attended(const AttentionCall& call, torch::Tensor out) {
    (void)call;
    return out;
  }
};

}  // namespace glyphscope
