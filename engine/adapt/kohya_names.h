#pragma once

#include <map>
#include <string>

#include "adapt/lora.h"

namespace glyphscope {

/// Where kohya's adapter files have a linear layer: a module, and which of its output rows (a fused layer holds q, k and v one after the other).
struct KohyaPlace {
  std::string module;          ///< "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k"
  std::int64_t first_row = 0;  ///< Of the fused layer.
  std::int64_t rows = 0;       ///< Of the whole fused layer; 0: it is no fused layer.
  bool swapped = false;        ///< Its output rows' two halves stand the other way round (shift and scale).
};

/// By path. Empty where kohya has no names for the family (LDM, DeepFloyd IF). Source: kohya-ss/sd-scripts networks/lora.py, lora_sd3.py and
/// lora_flux.py, whose names are those of the modules of each family's original code.
std::map<std::string, KohyaPlace> kohya_places(const torch::nn::Module& denoiser, const SiteTable& table);

}  // namespace glyphscope
