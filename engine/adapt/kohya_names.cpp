#include "adapt/kohya_names.h"

#include <torch/types.h>

#include <algorithm>
#include <regex>
#include <vector>

#include "models/flux.h"
#include "models/mmdit.h"

namespace glyphscope {
namespace {

std::string underscored(std::string text) {
  std::replace(text.begin(), text.end(), '.', '_');
  return text;
}

// A layer of diffusers, and the layer of the original code that holds it; "#" is the block's number.
struct Renamed {
  const char* path;
  const char* module;
  int part;     // of a fused layer's equal parts, the first that it is
  int parts;    // of the fused layer; 0: it is none
  int own = 1;  // how many it is
};
constexpr Renamed kJoint[] = {{"transformer_blocks.#.attn.to_q", "joint_blocks_#_x_block_attn_qkv", 0, 3},
                              {"transformer_blocks.#.attn.to_k", "joint_blocks_#_x_block_attn_qkv", 1, 3},
                              {"transformer_blocks.#.attn.to_v", "joint_blocks_#_x_block_attn_qkv", 2, 3},
                              {"transformer_blocks.#.attn.to_out.0", "joint_blocks_#_x_block_attn_proj", 0, 0},
                              {"transformer_blocks.#.attn2.to_q", "joint_blocks_#_x_block_attn2_qkv", 0, 3},
                              {"transformer_blocks.#.attn2.to_k", "joint_blocks_#_x_block_attn2_qkv", 1, 3},
                              {"transformer_blocks.#.attn2.to_v", "joint_blocks_#_x_block_attn2_qkv", 2, 3},
                              {"transformer_blocks.#.attn2.to_out.0", "joint_blocks_#_x_block_attn2_proj", 0, 0},
                              {"transformer_blocks.#.attn.add_q_proj", "joint_blocks_#_context_block_attn_qkv", 0, 3},
                              {"transformer_blocks.#.attn.add_k_proj", "joint_blocks_#_context_block_attn_qkv", 1, 3},
                              {"transformer_blocks.#.attn.add_v_proj", "joint_blocks_#_context_block_attn_qkv", 2, 3},
                              {"transformer_blocks.#.attn.to_add_out", "joint_blocks_#_context_block_attn_proj", 0, 0},
                              {"transformer_blocks.#.ff.net.0.proj", "joint_blocks_#_x_block_mlp_fc1", 0, 0},
                              {"transformer_blocks.#.ff.net.2", "joint_blocks_#_x_block_mlp_fc2", 0, 0},
                              {"transformer_blocks.#.ff_context.net.0.proj", "joint_blocks_#_context_block_mlp_fc1", 0, 0},
                              {"transformer_blocks.#.ff_context.net.2", "joint_blocks_#_context_block_mlp_fc2", 0, 0},
                              {"transformer_blocks.#.norm1.linear", "joint_blocks_#_x_block_adaLN_modulation_1", 0, 0},
                              {"transformer_blocks.#.norm1_context.linear", "joint_blocks_#_context_block_adaLN_modulation_1", 0, 0}};
// A single block's first layer holds q, k, v and, four times as wide, what goes into its feed-forward layer.
constexpr Renamed kFlux[] = {{"transformer_blocks.#.attn.to_q", "double_blocks_#_img_attn_qkv", 0, 3},
                             {"transformer_blocks.#.attn.to_k", "double_blocks_#_img_attn_qkv", 1, 3},
                             {"transformer_blocks.#.attn.to_v", "double_blocks_#_img_attn_qkv", 2, 3},
                             {"transformer_blocks.#.attn.to_out.0", "double_blocks_#_img_attn_proj", 0, 0},
                             {"transformer_blocks.#.attn.add_q_proj", "double_blocks_#_txt_attn_qkv", 0, 3},
                             {"transformer_blocks.#.attn.add_k_proj", "double_blocks_#_txt_attn_qkv", 1, 3},
                             {"transformer_blocks.#.attn.add_v_proj", "double_blocks_#_txt_attn_qkv", 2, 3},
                             {"transformer_blocks.#.attn.to_add_out", "double_blocks_#_txt_attn_proj", 0, 0},
                             {"transformer_blocks.#.ff.net.0.proj", "double_blocks_#_img_mlp_0", 0, 0},
                             {"transformer_blocks.#.ff.net.2", "double_blocks_#_img_mlp_2", 0, 0},
                             {"transformer_blocks.#.ff_context.net.0.proj", "double_blocks_#_txt_mlp_0", 0, 0},
                             {"transformer_blocks.#.ff_context.net.2", "double_blocks_#_txt_mlp_2", 0, 0},
                             {"transformer_blocks.#.norm1.linear", "double_blocks_#_img_mod_lin", 0, 0},
                             {"transformer_blocks.#.norm1_context.linear", "double_blocks_#_txt_mod_lin", 0, 0},
                             {"single_transformer_blocks.#.norm.linear", "single_blocks_#_modulation_lin", 0, 0},
                             {"x_embedder", "img_in", 0, 0},
                             {"context_embedder", "txt_in", 0, 0},
                             {"time_text_embed.timestep_embedder.linear_1", "time_in_in_layer", 0, 0},
                             {"time_text_embed.timestep_embedder.linear_2", "time_in_out_layer", 0, 0},
                             {"time_text_embed.text_embedder.linear_1", "vector_in_in_layer", 0, 0},
                             {"time_text_embed.text_embedder.linear_2", "vector_in_out_layer", 0, 0},
                             {"time_text_embed.guidance_embedder.linear_1", "guidance_in_in_layer", 0, 0},
                             {"time_text_embed.guidance_embedder.linear_2", "guidance_in_out_layer", 0, 0},
                             {"norm_out.linear", "final_layer_adaLN_modulation_1", 0, 0},
                             {"proj_out", "final_layer_linear", 0, 0},
                             {"single_transformer_blocks.#.attn.to_q", "single_blocks_#_linear1", 0, 7},
                             {"single_transformer_blocks.#.attn.to_k", "single_blocks_#_linear1", 1, 7},
                             {"single_transformer_blocks.#.attn.to_v", "single_blocks_#_linear1", 2, 7},
                             {"single_transformer_blocks.#.proj_mlp", "single_blocks_#_linear1", 3, 7, 4},
                             {"single_transformer_blocks.#.proj_out", "single_blocks_#_linear2", 0, 0}};

template <size_t N>
std::map<std::string, KohyaPlace> renamed(const std::map<std::string, WeightedLayer*>& layers, const Renamed (&table)[N]) {
  static const std::regex number("\\.([0-9]+)\\.");
  std::map<std::string, KohyaPlace> out;
  for (const auto& [path, layer] : layers) {
    std::smatch found;
    const bool numbered = std::regex_search(path, found, number);
    const std::string shape = numbered ? found.prefix().str() + ".#." + found.suffix().str() : path;
    for (const auto& one : table) {
      if (shape != one.path) continue;
      std::string module = one.module;
      if (numbered) module.replace(module.find('#'), 1, found[1].str());
      const std::int64_t rows = layer->weight.size(0) / one.own;
      out[path] = {"lora_unet_" + module, one.part * rows, one.parts * rows};
    }
  }
  return out;
}

}  // namespace

std::map<std::string, KohyaPlace> kohya_places(const torch::nn::Module& denoiser, const SiteTable& table) {
  const auto layers = adaptable_layers(denoiser);
  // Where diffusers has scale before shift, the original code has it the other way round.
  if (dynamic_cast<const MmDit*>(&denoiser)) {
    auto out = renamed(layers, kJoint);
    if (auto last = out.find(table.sites.back().path.substr(0, table.sites.back().path.rfind('.')) + ".norm1_context.linear"); last != out.end())
      last->second.swapped = true;
    return out;
  }
  if (dynamic_cast<const Flux*>(&denoiser)) {
    auto out = renamed(layers, kFlux);
    out.at("norm_out.linear").swapped = true;
    return out;
  }
  // A U-Net's sites tell what kohya calls their transformer ("..attentions.1"); within it both use the same names.
  std::map<std::string, KohyaPlace> out;
  for (const auto& site : table.sites) {
    const size_t inner = site.path.find(".transformer_blocks.");
    if (site.kohya.empty() || inner == std::string::npos) continue;
    const std::string transformer = site.path.substr(0, inner), rest = underscored(site.path.substr(inner));
    const std::string prefix = site.kohya.substr(0, site.kohya.size() - rest.size());
    for (auto layer = layers.lower_bound(transformer + "."); layer != layers.end() && layer->first.starts_with(transformer + "."); ++layer)
      out[layer->first] = {prefix + underscored(layer->first.substr(inner)), 0, 0};
  }
  return out;
}

}  // namespace glyphscope
