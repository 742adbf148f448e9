#pragma once

#include <torch/types.h>

#include <map>
#include <optional>
#include <string>

#include "adapt/adapter_settings.h"
#include "adapt/lora.h"

namespace glyphscope {

/// What an adapter's file holds of one layer, by the names of LyCORIS.
struct StoredLayer {
  std::map<std::string, torch::Tensor> parts;  ///< "lora_down", "hada_w1_a" ..
  std::optional<double> alpha;
  std::optional<std::int64_t> alphas;  ///< Numbers that it was given as.
  bool peft = false;                   ///< By PEFT's names.

  bool has(const std::string& part) const { return parts.contains(part); }
  /// The part, which then is no longer there; undefined if it is not.
  torch::Tensor take(const std::string& part);
};

/// A layer's part of the adapter: a product beside it, and what is made of its own numbers.
struct LayerPart {
  std::optional<LoraLayer> product;
  std::optional<LayerChange> change;
};

/// By the method that its parts are of. name: the layer's, for errors. Throws a Failure for parts that are missing, misshapen, not finite, or of two methods.
LayerPart make_part(StoredLayer stored, const std::string& name, const AdapterSettings& settings, const std::string& where);

}  // namespace glyphscope
