#pragma once

#include <torch/nn/module.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "adapt/layer_change.h"
#include "models/layers.h"

namespace glyphscope {

/// What an adapter adds to one linear layer.
struct LoraLayer {
  torch::Tensor a, b;  ///< [rank, in] and [out, rank]
  double alpha = 0;    ///< The product counts alpha / rank times.
  std::int64_t rank() const { return a.size(0); }
};

/// An adapter of a denoiser or a text encoder (LoRA, arXiv 2106.09685, or a relative): a value, by the paths of the layers, as diffusers and transformers
/// spell them ("mid_block.attentions.0.transformer_blocks.0.attn2.to_k").
struct Lora {
  std::map<std::string, LoraLayer> layers;
  /// What it makes of layers by another method (DoRA, LoHa, ..), or of layers that are not linear; a layer may have both.
  std::map<std::string, LayerChange> changes;
  std::map<std::string, std::string> metadata;  ///< Of the file: model, sites and settings that it was made with.
  std::int64_t parameters() const;
  /// The same there.
  Lora to(torch::Device device) const;
};

/// Adapters' tensors as parameters of a module, for an optimizer: both share them. A parameter's name is the path with slashes, "|a", "|b" or another part's.
class LoraModule : public torch::nn::Module {
 public:
  explicit LoraModule(Lora& lora) { add(lora); }
  /// Another one's, with something before its paths.
  void add(Lora& lora, const std::string& before = {});
};

/// An adapter at work beside the layers, until it is destroyed; then the denoiser is, to the bit, what it was before. Several may be attached at
/// once, and go in any order.
class AttachedLora {
 public:
  /// dropout: of what the adapter reads, while it is trained. Tensors that want gradients are computed with as they are; others as the layer's
  /// weights. Throws a Failure that lists every layer that the denoiser does not have, or has in another shape. The denoiser must outlive it.
  AttachedLora(const torch::nn::Module& denoiser, const Lora& lora, double strength = 1, double dropout = 0);
  /// The strength of layers below these paths ("mid_block.attentions.0.transformer_blocks.0.attn2"), in place of the one for all.
  void set_strengths(const std::map<std::string, double>& strengths);
  ~AttachedLora();
  AttachedLora(const AttachedLora&) = delete;
  AttachedLora& operator=(const AttachedLora&) = delete;

  void set_strength(double strength);

 private:
  struct Place {
    std::string path;
    WeightedLayer* layer;
    double scale;  // at strength 1
    std::shared_ptr<LowRank> term;
  };
  struct Change {
    std::string path;
    AdaptableLayer* layer;
    std::shared_ptr<ActiveChange> active;
  };
  std::vector<Place> places_;
  std::vector<Change> changes_;
};

}  // namespace glyphscope
