#pragma once

#include <torch/types.h>

#include <functional>

namespace glyphscope {

/// A prompt as an attention layer reads it.
struct PromptStates {
  torch::Tensor embedding;  ///< [batch, tokens, width]
  torch::Tensor mask;       ///< Bool, [batch, tokens]: false where a token is padding that nothing attends to. Undefined: there is none.
};

/// Keys and values of the prompt's tokens, each [batch, heads, tokens, head dimension].
struct KeyValue {
  torch::Tensor key;
  torch::Tensor value;
  torch::Tensor mask;  ///< Bool, [batch, heads or 1, tokens]: PromptStates::mask, which goes where the keys go. Undefined: all tokens are attended to.
};

/// What an attention layer has computed of, [batch, heads, tokens, head dimension] each. Its keys are the prompt's tokens, or the picture's, or both; its
/// queries the picture's, or both.
struct AttentionCall {
  torch::Tensor query, key, value;
  std::int64_t prompt = 0, prompt_end = 0;    ///< The prompt's keys; none where the picture attends to itself alone.
  std::int64_t picture = 0, picture_end = 0;  ///< The picture's queries.
  torch::Tensor mask;                         ///< Of the keys: bool, [batch, heads or 1, 1, tokens]. Undefined: all are attended to.
  int site = -1;                              ///< Of the layer; negative where it is none.
};

/// The hook point. A denoiser hands one Taps down its forward call to every attention layer; no module keeps it.
class Taps {
 public:
  /// Makes K and V of a prompt with the projections of the layer that asks.
  using Project = std::function<KeyValue(const PromptStates& prompt)>;

  virtual ~Taps() = default;

  /// Entered by every attention layer, self-attention included. May throw to stop the run here.
  virtual void enter_attention() {}

  /// What a site attends to. `prompt` is what the layer was given; without taps the layer uses project(prompt).
  virtual KeyValue prompt_kv(int site, const PromptStates& prompt, const Project& project) {
    (void)site;
    return project(prompt);
  }

  /// K and V that the picture makes of itself in the block of a site, before they are turned; without taps its own.
  virtual KeyValue picture_kv(int site, KeyValue own) {
    (void)site;
    return own;
  }

  /// What an MLP in the block of a site gives, [batch, tokens, width]: of each of its MLPs.
  virtual torch::Tensor mlp(int site, torch::Tensor out) {
    (void)site;
    return out;
  }

  /// What a layer goes on with, [batch, heads, queries, head dimension]: of every layer, what it attended to, or something else in its place.
  virtual torch::Tensor attended(const AttentionCall& call, torch::Tensor out) {
    (void)call;
    return out;
  }
};

}  // namespace glyphscope
