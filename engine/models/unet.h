#pragma once

#include <torch/nn/module.h>

#include <optional>

#include "io/config.h"
#include "models/attention.h"
#include "models/conditioning.h"
#include "models/resnet.h"
#include "patching/site.h"

namespace glyphscope {

/// What a U-Net is built from; names are those of diffusers' `UNet2DConditionModel` configuration.
struct UNetConfig {
  std::int64_t in_channels = 4, out_channels = 4, sample_size = 64;
  std::vector<std::int64_t> block_out_channels;
  std::vector<bool> down_attention, up_attention;     ///< Whether each block is a CrossAttn block, in forward order.
  bool mid_block = true, mid_attention = true;        ///< Distilled U-Nets may have no block in the middle, or one resnet without attention.
  std::vector<std::int64_t> layers_per_block, heads;  ///< One entry a level, from the outermost.
  /// Transformer blocks of each attention of a block, in forward order; a block that does not attend has them too.
  std::vector<std::vector<std::int64_t>> down_depths, up_depths;
  std::int64_t mid_depth = 1;
  std::int64_t cross_attention_dim = 768, norm_groups = 32;
  double norm_eps = 1e-5;
  bool linear_projection = false, upcast_attention = false, flip_sin_to_cos = true;
  double freq_shift = 0;
  bool center_input_sample = false;
  /// DeepFloyd IF's blocks (`SimpleCrossAttn..`, `Resnet..sampleBlock2D`): attention with added K and V, resnets that resample.
  bool added_kv = false;
  std::vector<bool> added_only;  ///< By level: the pixels' own K and V are left out (`only_cross_attention`).
  bool mid_added_only = false, context_norm = false;
  bool scale_shift = false, skip_time_act = false;
  double output_scale = 1, mid_scale = 1;
  Activation activation = Activation::silu;
  std::optional<Activation> time_activation;  ///< `time_embedding_act_fn`: of the finished time embedding.
  std::int64_t prompt_width = 0;              ///< `encoder_hid_dim`: of the raw prompt, which the U-Net projects; 0: it does not.
  std::int64_t pooling_heads = 0;             ///< `addition_embed_type` text: heads of the pooling of the raw prompt; 0: none.
  bool noise_level = false;                   ///< `class_embed_type` timestep: stage II's own noise level.
  std::int64_t guidance_width = 0;            ///< `time_cond_proj_dim`: of the guidance's embedding, which consistency models read; 0: they do not.
  /// SDXL's `text_time` conditioning: width of the sinusoids of each time id, and of what `add_embedding` reads; 0: none.
  std::int64_t addition_time_embed_dim = 0, addition_width = 0;

  std::int64_t raw_prompt_width() const { return prompt_width > 0 ? prompt_width : cross_attention_dim; }

  /// Throws a Failure that names the key for a value that is wrong or not supported.
  static UNetConfig parse(const Config& config);
};

class TransformerBlock;
class SpatialTransformer;
class UNetLevel;
class TextPooling;

/// diffusers' `UNet2DConditionModel` (models/unets/unet_2d_condition.py): conv_in, down blocks, mid block, up blocks, conv_out.
class UNet : public torch::nn::Module {
 public:
  explicit UNet(const UNetConfig& config);
  ~UNet() override;

  /// sample: [B, in, H, W]; timestep: [B] fp32 -> [B, out, H, W].
  /// Throws a Failure for a shape that does not fit. The result has the dtype of the weights.
  torch::Tensor forward(const torch::Tensor& sample, const torch::Tensor& timestep, const Conditioning& conditioning, Taps* taps = nullptr) const;

  /// The raw prompt [B, T, prompt_width] as the sites get it, [B, T, cross_attention_dim]; unchanged where the U-Net does not
  /// project it. This, not the raw prompt, is what taps are to hand to a site.
  torch::Tensor project_prompt(const torch::Tensor& embedding) const;

  const UNetConfig& config() const { return config_; }
  /// Prompt-reading layers in forward order: down blocks, mid block, up blocks.
  const SiteTable& sites() const { return sites_; }
  /// The attention layer of a site. Precondition: the index exists.
  Attention& site_attention(int site) const { return *site_attentions_.at(static_cast<size_t>(site)); }

 private:
  void number_sites();
  torch::Tensor time_features(const torch::Tensor& timestep, const Conditioning& conditioning) const;

  UNetConfig config_;
  SiteTable sites_;
  std::vector<Attention*> site_attentions_;
  std::shared_ptr<Conv2d> conv_in, conv_out;
  std::shared_ptr<torch::nn::Module> time_embedding;
  std::shared_ptr<Linear> linear_1, linear_2, guidance_proj, add_linear_1, add_linear_2, level_1_, level_2_, encoder_hid_proj;
  std::shared_ptr<TextPooling> pooling_;
  std::shared_ptr<List<UNetLevel>> down_blocks, up_blocks;
  std::shared_ptr<UNetLevel> mid_block;  // null: none
  std::shared_ptr<GroupNorm> conv_norm_out;
};

}  // namespace glyphscope
