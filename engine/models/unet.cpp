#include "models/unet.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "models/transformer.h"

namespace glyphscope {

UNetConfig UNetConfig::parse(const Config& config) {
  UNetConfig out;
  // Options whose other values change the computation and are not built here.
  config.require("class_embed_type", nullptr);
  config.require("num_class_embeds", nullptr);
  config.require("encoder_hid_dim", nullptr);
  config.require("encoder_hid_dim_type", nullptr);
  config.require("time_embedding_type", "positional");
  config.require("time_embedding_act_fn", nullptr);
  config.require("time_cond_proj_dim", nullptr);
  config.require("resnet_time_scale_shift", "default");
  config.require("dual_cross_attention", false);
  config.require("only_cross_attention", false);
  config.require("act_fn", "silu");
  config.require("conv_in_kernel", 3);
  config.require("conv_out_kernel", 3);
  config.require("downsample_padding", 1);
  config.require("mid_block_scale_factor", 1);
  config.require("attention_type", "default");

  const auto down = config.texts("down_block_types"), up = config.texts("up_block_types");
  const size_t levels = down.size();
  if (levels == 0 || up.size() != levels) reject("down_block_types and up_block_types need one entry a level each", config.where());
  for (const auto& name : down) {
    if (name != "CrossAttnDownBlock2D" && name != "DownBlock2D") reject("unknown down block '" + name + "'", config.where());
    out.down_attention.push_back(name == "CrossAttnDownBlock2D");
  }
  for (const auto& name : up) {
    if (name != "CrossAttnUpBlock2D" && name != "UpBlock2D") reject("unknown up block '" + name + "'", config.where());
    out.up_attention.push_back(name == "CrossAttnUpBlock2D");
  }
  const std::string mid = config.text("mid_block_type", "UNetMidBlock2DCrossAttn");
  if (mid != "UNetMidBlock2DCrossAttn") reject("unknown mid block '" + mid + "'", config.where());

  out.in_channels = config.size("in_channels", 4, 1, 1024);
  out.out_channels = config.size("out_channels", 4, 1, 1024);
  out.sample_size = config.size("sample_size", 64, 1, 4096);
  out.cross_attention_dim = config.size("cross_attention_dim", 1280, 1, 65536);
  out.norm_groups = config.size("norm_num_groups", 32, 1, 4096);
  out.norm_eps = config.number("norm_eps", 1e-5);
  out.linear_projection = config.boolean("use_linear_projection", false);
  out.upcast_attention = config.boolean("upcast_attention", false);
  out.flip_sin_to_cos = config.boolean("flip_sin_to_cos", true);
  out.freq_shift = config.number("freq_shift", 0);
  out.center_input_sample = config.boolean("center_input_sample", false);
  if (const std::string addition = config.text("addition_embed_type", ""); addition == "text_time") {
    out.addition_time_embed_dim = config.size("addition_time_embed_dim", 256, 2, 65536);
    out.addition_width = config.size("projection_class_embeddings_input_dim", 2816, 1, 1 << 20);
  } else if (!addition.empty()) {
    reject("addition_embed_type is '" + addition + "', supported is text_time", config.where());
  }
  config.require("reverse_transformer_layers_per_block", nullptr);
  out.block_out_channels = config.integers("block_out_channels", levels, 320);
  out.layers_per_block = config.integers("layers_per_block", levels, 2);
  out.transformer_layers = config.integers("transformer_layers_per_block", levels, 1);
  // diffusers reads `attention_head_dim` as the NUMBER of heads where num_attention_heads is absent (its issue 2011).
  out.heads = config.has("num_attention_heads") ? config.integers("num_attention_heads", levels, 8) : config.integers("attention_head_dim", levels, 8);
  for (size_t i = 0; i < levels; ++i) {
    const std::string level = " of level " + std::to_string(i);
    const std::int64_t channels = out.block_out_channels[i];
    auto within = [&](std::int64_t value, std::int64_t high, const std::string& name) {
      if (value < 1 || value > high) reject(name + level + " is " + std::to_string(value) + ", expected 1 to " + std::to_string(high), config.where());
    };
    within(channels, 65536, "block_out_channels");
    within(out.layers_per_block[i], 64, "layers_per_block");
    within(out.transformer_layers[i], 256, "transformer_layers_per_block");
    within(out.heads[i], channels, "the number of heads");
    if (channels % out.norm_groups != 0)
      reject(std::to_string(channels) + " channels" + level + " do not divide into " + std::to_string(out.norm_groups) + " norm groups", config.where());
    if (channels % out.heads[i] != 0)
      reject(std::to_string(channels) + " channels" + level + " do not divide into " + std::to_string(out.heads[i]) + " heads", config.where());
  }
  return out;
}

/// One block of the U: resnets, each followed by a transformer where the level reads the prompt, then a resampler.
/// Mirrors diffusers' (CrossAttn)DownBlock2D, UNetMidBlock2DCrossAttn and (CrossAttn)UpBlock2D.
class UNetLevel : public torch::nn::Module {
 public:
  UNetLevel() {
    resnets = std::make_shared<List<ResnetBlock2D>>();
    attentions = std::make_shared<List<SpatialTransformer>>();
  }

  void finish(bool with_attention) {
    register_module("resnets", resnets);
    if (with_attention) register_module("attentions", attentions);
    if (downsampler) register_module("downsamplers", std::make_shared<List<Downsample2D>>())->register_module("0", downsampler);
    if (upsampler) register_module("upsamplers", std::make_shared<List<Upsample2D>>())->register_module("0", upsampler);
  }

  std::shared_ptr<List<ResnetBlock2D>> resnets;
  std::shared_ptr<List<SpatialTransformer>> attentions;
  std::shared_ptr<Downsample2D> downsampler;
  std::shared_ptr<Upsample2D> upsampler;
};

UNet::~UNet() = default;

UNet::UNet(const UNetConfig& c) : config_(c) {
  const size_t levels = c.block_out_channels.size();
  const std::int64_t time_width = c.block_out_channels[0] * 4;
  auto add_transformer = [&](UNetLevel& block, size_t level) {
    block.attentions->add(c.block_out_channels[level], static_cast<int>(c.heads[level]), c.transformer_layers[level], c.cross_attention_dim, c.norm_groups,
                          c.linear_projection, c.upcast_attention);
  };

  conv_in = register_module("conv_in", std::make_shared<Conv2d>(c.in_channels, c.block_out_channels[0], 3, 1, 1));
  struct Names : torch::nn::Module {};
  time_embedding = register_module("time_embedding", std::make_shared<Names>());
  linear_1 = time_embedding->register_module("linear_1", std::make_shared<Linear>(c.block_out_channels[0], time_width));
  linear_2 = time_embedding->register_module("linear_2", std::make_shared<Linear>(time_width, time_width));

  if (c.addition_width > 0) {
    auto names = register_module("add_embedding", std::make_shared<Names>());
    add_linear_1 = names->register_module("linear_1", std::make_shared<Linear>(c.addition_width, time_width));
    add_linear_2 = names->register_module("linear_2", std::make_shared<Linear>(time_width, time_width));
  }

  down_blocks = register_module("down_blocks", std::make_shared<List<UNetLevel>>());
  std::vector<std::int64_t> skips{c.block_out_channels[0]};
  std::int64_t channels = c.block_out_channels[0];
  for (size_t level = 0; level < levels; ++level) {
    UNetLevel& block = down_blocks->add();
    const std::int64_t out = c.block_out_channels[level];
    for (std::int64_t i = 0; i < c.layers_per_block[level]; ++i) {
      block.resnets->add(i == 0 ? channels : out, out, time_width, c.norm_groups, c.norm_eps);
      if (c.down_attention[level]) add_transformer(block, level);
      skips.push_back(out);
    }
    if (level + 1 < levels) {
      block.downsampler = std::make_shared<Downsample2D>(out, 1);
      skips.push_back(out);
    }
    block.finish(c.down_attention[level]);
    channels = out;
  }

  mid_block = std::make_shared<UNetLevel>();
  mid_block->resnets->add(channels, channels, time_width, c.norm_groups, c.norm_eps);
  add_transformer(*mid_block, levels - 1);
  mid_block->resnets->add(channels, channels, time_width, c.norm_groups, c.norm_eps);
  mid_block->finish(true);
  register_module("mid_block", mid_block);

  up_blocks = register_module("up_blocks", std::make_shared<List<UNetLevel>>());
  for (size_t i = 0; i < levels; ++i) {
    const size_t level = levels - 1 - i;
    UNetLevel& block = up_blocks->add();
    const std::int64_t out = c.block_out_channels[level];
    for (std::int64_t j = 0; j < c.layers_per_block[level] + 1; ++j) {
      block.resnets->add((j == 0 ? channels : out) + skips.back(), out, time_width, c.norm_groups, c.norm_eps);
      skips.pop_back();
      if (c.up_attention[i]) add_transformer(block, level);
    }
    if (level > 0) block.upsampler = std::make_shared<Upsample2D>(out);
    block.finish(c.up_attention[i]);
    channels = out;
  }
  conv_norm_out = register_module("conv_norm_out", std::make_shared<GroupNorm>(c.norm_groups, channels, c.norm_eps));
  conv_out = register_module("conv_out", std::make_shared<Conv2d>(channels, c.out_channels, 3, 1, 1));
  number_sites();
}

void UNet::number_sites() {
  // kohya names SD 1 and 2 as diffusers does, SDXL as its first code did: input_blocks, middle_block, output_blocks.
  const bool original_names = config_.addition_width > 0;
  auto visit = [&](const UNetLevel& block, const std::string& path, const std::string& original, size_t first, const std::string& name) {
    for (size_t i = 0; i < block.attentions->size(); ++i) {
      auto& layers = *(*block.attentions)[i].transformer_blocks;
      for (size_t j = 0; j < layers.size(); ++j) {
        const std::string rest = ".transformer_blocks." + std::to_string(j) + ".attn2";
        Site site;
        site.index = static_cast<int>(sites_.sites.size());
        site.path = path + ".attentions." + std::to_string(i) + rest;
        const std::string numbered = original + (original == "middle_block" ? "" : "." + std::to_string(first + i)) + ".1" + rest;
        site.kohya = "lora_unet_" + (original_names ? numbered : site.path);
        std::replace(site.kohya.begin(), site.kohya.end(), '.', '_');
        site.block = name;
        Attention& attention = *layers[j].attn2;
        site.heads = attention.heads();
        site.kv_parameters = attention.kv_parameters();
        attention.site = site.index;
        site_attentions_.push_back(&attention);
        sites_.sites.push_back(std::move(site));
      }
    }
  };
  // Forward order, which is not registration order in diffusers: there up_blocks come before mid_block.
  size_t first = 1;  // input_blocks.0 is conv_in
  for (size_t i = 0; i < down_blocks->size(); ++i) {
    visit((*down_blocks)[i], "down_blocks." + std::to_string(i), "input_blocks", first, "down " + std::to_string(i));
    first += (*down_blocks)[i].resnets->size() + 1;
  }
  visit(*mid_block, "mid_block", "middle_block", 0, "mid");
  first = 0;
  for (size_t i = 0; i < up_blocks->size(); ++i) {
    visit((*up_blocks)[i], "up_blocks." + std::to_string(i), "output_blocks", first, "up " + std::to_string(i));
    first += (*up_blocks)[i].resnets->size();
  }
  for (const auto& parameter : parameters()) sites_.denoiser_parameters += parameter.numel();
}

// The timestep's embedding [B, 4 x the first width], and SDXL's pooled prompt and sizes added to it.
torch::Tensor UNet::time_features(const torch::Tensor& timestep, const Conditioning& conditioning) const {
  const auto dtype = conv_in->weight.scalar_type();
  auto sinusoids = [&](const torch::Tensor& values, std::int64_t width) {
    return timestep_embedding(values, width, config_.flip_sin_to_cos, config_.freq_shift);
  };
  const torch::Tensor time = linear_2->forward(at::silu(linear_1->forward(sinusoids(timestep, config_.block_out_channels[0]).to(dtype))));
  if (!add_linear_1) return time;
  const torch::Tensor &pooled = conditioning.pooled, &ids = conditioning.time_ids;
  if (!pooled.defined() || !ids.defined() || pooled.size(1) + ids.size(1) * config_.addition_time_embed_dim != config_.addition_width)
    reject("the pooled prompt and the sizes do not make the " + std::to_string(config_.addition_width) + " numbers this model reads", "U-Net");
  const torch::Tensor sizes = sinusoids(ids.reshape({-1}), config_.addition_time_embed_dim).reshape({ids.size(0), -1});
  return time + add_linear_2->forward(at::silu(add_linear_1->forward(at::cat({pooled.to(dtype), sizes.to(dtype)}, 1))));
}

torch::Tensor UNet::forward(const torch::Tensor& sample, const torch::Tensor& timestep, const Conditioning& conditioning, Taps* taps) const {
  const torch::Tensor& embedding = conditioning.embedding;
  if (sample.dim() != 4 || sample.size(1) != config_.in_channels)
    reject("the latent must be [batch, " + std::to_string(config_.in_channels) + ", height, width]", "U-Net");
  if (embedding.dim() != 3 || embedding.size(2) != config_.cross_attention_dim || embedding.size(0) != sample.size(0))
    reject("the prompt embedding must be [" + std::to_string(sample.size(0)) + ", tokens, " + std::to_string(config_.cross_attention_dim) + "]", "U-Net");

  const torch::Tensor time = time_features(timestep, conditioning);
  torch::Tensor x = config_.center_input_sample ? 2 * sample - 1 : sample;
  x = conv_in->forward(x);
  std::vector<torch::Tensor> skips{x};
  for (const auto& block : *down_blocks) {
    for (size_t i = 0; i < block->resnets->size(); ++i) {
      x = (*block->resnets)[i].forward(x, time);
      if (block->attentions->size() > 0) x = (*block->attentions)[i].forward(x, embedding, taps);
      skips.push_back(x);
    }
    if (block->downsampler) skips.push_back(x = block->downsampler->forward(x));
  }
  x = (*mid_block->resnets)[0].forward(x, time);
  x = (*mid_block->attentions)[0].forward(x, embedding, taps);
  x = (*mid_block->resnets)[1].forward(x, time);
  for (const auto& block : *up_blocks) {
    for (size_t i = 0; i < block->resnets->size(); ++i) {
      x = (*block->resnets)[i].forward(at::cat({x, skips.back()}, 1), time);
      skips.pop_back();
      if (block->attentions->size() > 0) x = (*block->attentions)[i].forward(x, embedding, taps);
    }
    // An odd side was halved rounding up: the skip that comes next says what size to go back to.
    if (block->upsampler) x = block->upsampler->forward(x, skips.back().sizes().slice(2));
  }
  return conv_out->forward(at::silu(conv_norm_out->forward(x)));
}

}  // namespace glyphscope
