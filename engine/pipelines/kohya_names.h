#pragma once

#include <map>
#include <string>
#include <vector>

#include "patching/site.h"

namespace torch::nn {
class Module;
}

namespace glyphscope {

/// Where kohya's adapter files have a linear layer: a module, and which of its output rows (a fused layer holds q, k and v one after the other).
struct KohyaPlace {
  std::string module;          ///< "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k"
  std::int64_t first_row = 0;  ///< Of the fused layer.
  std::int64_t rows = 0;       ///< Of the whole fused layer; 0: it is no fused layer.
  bool swapped = false;        ///< Its output rows' two halves stand the other way round (shift and scale).
};

/// By path. Source of the names: kohya-ss/sd-scripts networks/lora.py, lora_sd3.py and lora_flux.py, whose names are those of the modules of each family's
/// original code.
using KohyaPlaces = std::map<std::string, KohyaPlace>;

/// A layer of diffusers, and the layer of the original code that holds it; "#" is the block's number.
struct KohyaRule {
  const char* path;
  const char* module;
  int part;     ///< Of a fused layer's equal parts, the first that it is.
  int parts;    ///< Of the fused layer; 0: it is none.
  int own = 1;  ///< How many it is.
};

/// Of those layers of a denoiser that a rule names.
KohyaPlaces renamed_places(const torch::nn::Module& denoiser, const std::vector<KohyaRule>& rules);

/// Of a U-Net whose sites tell what kohya calls their transformers: within these both use the same names.
KohyaPlaces transformer_places(const torch::nn::Module& denoiser, const SiteTable& table);

/// With "_" for ".".
std::string underscored(std::string path);

}  // namespace glyphscope
