#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace glyphscope {

/// Where a block is in its denoiser: in a stack of blocks, or in a U.
enum class BlockPlace { stack, down, middle, up };

/// One prompt-reading attention layer of a denoiser; the only address of a layer used anywhere.
struct Site {
  int index = 0;      ///< From 0, in the order in which sites run in one forward pass.
  std::string path;   ///< Module path as diffusers spells it.
  std::string kohya;  ///< Name of the module in kohya's adapter files.
  std::string block;  ///< "down 0", "mid", "up 1".
  BlockPlace place = BlockPlace::stack;
  int heads = 0;
  bool has_picture_kv = true, has_mlp = true;  ///< What else its block has: see BlockPart.
  std::int64_t head_width = 0;                 ///< Numbers of a head's K, and of its V, for each of the prompt's tokens.
  std::vector<std::string> projections;        ///< The layer's linear layers that make K and V of the prompt, as diffusers names them in it.
  /// The same in the model's first code, whose names single files, ComfyUI and some trainers use: whole paths, or that of one layer that makes Q, K and V.
  /// Empty: not known.
  std::vector<std::string> original;
  std::int64_t kv_parameters = 0;  ///< Parameters of the projections that make K and V of the prompt.
};

/// The sites of a denoiser, and what their parameters are a share of.
struct SiteTable {
  std::vector<Site> sites;
  std::int64_t denoiser_parameters = 0;

  /// Share of the denoiser's parameters that make K and V of the prompt at these sites, in [0, 1].
  double share(const std::vector<int>& indices) const;
};

}  // namespace glyphscope
