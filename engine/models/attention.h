#pragma once

#include <torch/nn/module.h>

#include "models/block.h"
#include "models/layers.h"
#include "patching/site.h"
#include "patching/taps.h"

namespace glyphscope {

/// Turns queries and keys by where their tokens are: cosines and sines, each [N, head_width] fp32, or [B, 1, N, head_width] where rows differ. Source:
/// diffusers `apply_rotary_emb`.
struct Rotary {
  torch::Tensor cosine, sine;
  /// x: [B, heads, N, head_width]
  torch::Tensor turn(const torch::Tensor& x) const;
};

/// Multi-head attention, the only one there is. Mirrors diffusers' `Attention` (models/attention_processor.py).
class Attention : public Block {
 public:
  struct Options {
    std::int64_t query_width = 0;    ///< Width of the hidden states.
    std::int64_t context_width = 0;  ///< Width of what K and V are made of; 0 for self-attention.
    int heads = 1;
    std::int64_t head_width = 0;
    bool qkv_bias = false;
    bool upcast = false;  ///< Attend in fp32 (SD 2's `upcast_attention`).
    /// Joint attention: width of the context stream, which has projections of its own (`add_*_proj`) and is attended to
    /// together with the hidden states; 0: there is none.
    std::int64_t joint_width = 0;
    bool no_output = false;     ///< What was attended to is left as it is (FLUX's single blocks, which project it with more).
    bool context_ends = false;  ///< Joint attention in a model's last block, whose context goes nowhere.
    bool qk_norm = false;       ///< Queries and keys are RMS-normed, those of the context apart.
    double qk_norm_eps = 1e-6;
    bool out_bias = true;
    /// Added K and V (DeepFloyd IF): width of the prompt, whose K and V (`add_k_proj`, `add_v_proj`) stand before the pixels'
    /// own; 0: there is none.
    std::int64_t added_width = 0;
    bool added_only = false;    ///< The pixels' own K and V are left out (`only_cross_attention`).
    std::int64_t groups = 0;    ///< Groups of the norm of the pixels.
    bool context_norm = false;  ///< The prompt is group-normed too (`cross_attention_norm`).
  };
  explicit Attention(const Options& options);

  /// hidden: [B, N, query_width]; context: [B, T, context_width], undefined for self-attention -> [B, N, query_width].
  /// What a context's mask says is padding nothing attends to, here and below.
  torch::Tensor forward(const torch::Tensor& hidden, const PromptStates& context, Taps* taps) const;

  struct Streams {
    torch::Tensor hidden, context;
  };
  /// Joint attention. hidden: [B, N, query_width]; context: [B, T, joint_width] -> both streams, the context undefined where
  /// it ends. What a site's prompt K and V are: those of the context, after their norm.
  /// rotary: turns the hidden states' queries and keys; the context's stand at no place. Null: none.
  Streams forward_joint(const torch::Tensor& hidden, const PromptStates& context, const Rotary* rotary, Taps* taps) const;

  /// The same with one set of projections for both: context [B, T, query_width] and hidden [B, N, query_width] -> [B, T + N, heads x head_width]. One of them
  /// may be undefined: then the other attends to itself. context_rotary: turns the context's; what a site's prompt K is, is turned. Null: none.
  torch::Tensor forward_single(const PromptStates& context, const Rotary* context_rotary, const torch::Tensor& hidden, const Rotary* rotary, Taps* taps) const;

  /// Attention with added K and V over the pixels of a feature map. x: [B, query_width, H, W]; context: [B, T, added_width] ->
  /// x plus what was attended to.
  torch::Tensor forward_added(const torch::Tensor& x, const PromptStates& context, Taps* taps) const;

  /// K and V of a context, its embedding [B, T, its width].
  KeyValue project(const PromptStates& context) const;

  /// The linear layers that this layer has, by the names they have in it: "to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj",
  /// "add_v_proj", "to_add_out".
  std::vector<std::pair<std::string, Linear*>> projections() const;

  int heads() const { return options_.heads; }
  std::int64_t head_width() const { return options_.head_width; }
  std::int64_t kv_parameters() const;
  /// Index of the site this layer is, -1 for one that reads no prompt. Set once, by the denoiser that builds it.
  int site = -1;
  /// The site in whose block this layer is, where the picture attends to itself: its own K and V can be patched there. -1: in none.
  int beside = -1;

  std::shared_ptr<Linear> to_q, to_k, to_v, add_q_proj, add_k_proj, add_v_proj, to_add_out;
  std::shared_ptr<GroupNorm> group_norm, norm_cross;
  std::shared_ptr<RmsNorm> norm_q, norm_k, norm_added_q, norm_added_k;
  std::shared_ptr<List<Linear>> to_out;

 private:
  torch::Tensor split_heads(const torch::Tensor& x) const;
  torch::Tensor merge_heads(const torch::Tensor& x) const;
  KeyValue prompt_kv(const PromptStates& context, Taps* taps, const Rotary* rotary = nullptr) const;
  KeyValue picture_kv(KeyValue own, Taps* taps) const;
  torch::Tensor attend(const AttentionCall& call, Taps* taps) const;
  Options options_;
};

/// Makes this layer the table's next site. `site`: its names and its place; number, heads and parameters are the layer's.
void add_site(SiteTable& table, Attention& attention, Site site);

}  // namespace glyphscope
