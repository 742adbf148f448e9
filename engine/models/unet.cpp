#include "models/unet.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "device/placement.h"
#include "models/transformer.h"

namespace glyphscope {

namespace {

// A list of booleans, or one for all.
std::vector<bool> flags(const Config& config, const std::string& key, size_t count) {
  if (!config.has(key)) return std::vector<bool>(count, false);
  const auto& value = config.json().at(key);
  if (value.is_boolean()) return std::vector<bool>(count, value.get<bool>());
  std::vector<bool> out;
  if (value.is_array())
    for (const auto& one : value)
      if (one.is_boolean()) out.push_back(one.get<bool>());
  if (out.size() != count) reject(key + " must be true, false, or a list of " + std::to_string(count) + " of them", config.where());
  return out;
}

Activation parse_activation(const Config& config, const std::string& key, const std::string& name) {
  if (name == "silu" || name == "swish") return Activation::silu;
  if (name != "gelu") reject(key + " is '" + name + "', supported are silu and gelu", config.where());
  return Activation::gelu;
}

// Two kinds of U-Net: Stable Diffusion's, and DeepFloyd IF's with added K and V.
void parse_blocks(UNetConfig& out, const Config& config) {
  const auto down = config.texts("down_block_types"), up = config.texts("up_block_types");
  if (down.empty() || up.size() != down.size()) reject("down_block_types and up_block_types need one entry a level each", config.where());
  struct Kind {
    const char *plain_down, *attention_down, *plain_up, *attention_up, *mid;
  };
  constexpr Kind kStable{"DownBlock2D", "CrossAttnDownBlock2D", "UpBlock2D", "CrossAttnUpBlock2D", "UNetMidBlock2DCrossAttn"};
  constexpr Kind kAdded{"ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D", "ResnetUpsampleBlock2D", "SimpleCrossAttnUpBlock2D",
                        "UNetMidBlock2DSimpleCrossAttn"};
  out.added_kv = down[0] == kAdded.plain_down || down[0] == kAdded.attention_down;
  const Kind& kind = out.added_kv ? kAdded : kStable;
  for (const auto& name : down) {
    if (name != kind.attention_down && name != kind.plain_down) reject("unknown down block '" + name + "'", config.where());
    out.down_attention.push_back(name == kind.attention_down);
  }
  for (const auto& name : up) {
    if (name != kind.attention_up && name != kind.plain_up) reject("unknown up block '" + name + "'", config.where());
    out.up_attention.push_back(name == kind.attention_up);
  }
  out.mid_block = !config.json().contains("mid_block_type") || config.has("mid_block_type");
  const std::string mid = config.text("mid_block_type", kind.mid);
  out.mid_attention = out.mid_block && mid == kind.mid;
  if (mid != kind.mid && (mid != "UNetMidBlock2D" || out.added_kv)) reject("'mid_block_type' is '" + mid + "', which is not known", config.where());
}

// What only U-Nets with added K and V choose.
void parse_added_kv(UNetConfig& out, const Config& config) {
  const size_t levels = out.down_attention.size();
  if (config.has("time_embedding_act_fn")) out.time_activation = parse_activation(config, "time_embedding_act_fn", config.text("time_embedding_act_fn", ""));
  const std::string shift = config.text("resnet_time_scale_shift", "default");
  if (shift != "default" && shift != "scale_shift") reject("unknown resnet_time_scale_shift '" + shift + "'", config.where());
  out.scale_shift = shift == "scale_shift";
  out.skip_time_act = config.boolean("resnet_skip_time_act", false);
  out.output_scale = config.number("resnet_out_scale_factor", 1);
  out.mid_scale = config.number("mid_block_scale_factor", 1);
  const std::string norm = config.text("cross_attention_norm", "");
  if (!norm.empty() && norm != "group_norm") reject("unknown cross_attention_norm '" + norm + "'", config.where());
  out.context_norm = !norm.empty();
  out.added_only = flags(config, "only_cross_attention", levels);
  out.mid_added_only = config.boolean("mid_block_only_cross_attention",
                                      config.has("only_cross_attention") && config.json().at("only_cross_attention").is_boolean() && out.added_only[0]);
  if (config.has("encoder_hid_dim")) {
    config.require("encoder_hid_dim_type", "text_proj");
    out.prompt_width = config.size("encoder_hid_dim", 4096, 1, 65536);
  }
  if (const std::string type = config.text("class_embed_type", ""); !type.empty()) {
    if (type != "timestep") reject("class_embed_type is '" + type + "', supported is timestep", config.where());
    out.noise_level = true;
  }
}

// How deep the attentions of each block are: a number for all, or one a level, or a list a level with one for each attention.
std::vector<std::vector<std::int64_t>> parse_depths(const Config& config, const std::string& key, const std::vector<std::int64_t>& attentions) {
  const nlohmann::json value = config.has(key) ? config.json().at(key) : nlohmann::json(1);
  std::vector<std::vector<std::int64_t>> out;
  const auto wrong = [&](const std::string& expected) { reject("'" + key + "' is " + value.dump() + ", expected " + expected, config.where()); };
  if (value.is_array() && value.size() != attentions.size()) wrong("a list of " + std::to_string(attentions.size()));
  for (size_t level = 0; level < attentions.size(); ++level) {
    const nlohmann::json& own = value.is_array() ? value[level] : value;
    const auto count = static_cast<size_t>(attentions[level]);
    std::vector<std::int64_t>& depths = out.emplace_back();
    for (size_t i = 0; i < count; ++i) {
      if (own.is_array() && own.size() < count) wrong("a number for each of the " + std::to_string(count) + " attentions of level " + std::to_string(level));
      const nlohmann::json& one = own.is_array() ? own[i] : own;
      if (!one.is_number_integer() || one < 0 || one > 256) wrong("depths of 0 to 256");
      depths.push_back(one.get<std::int64_t>());
    }
  }
  return out;
}

bool is_nested(const Config& config, const std::string& key) {
  if (!config.has(key) || !config.json().at(key).is_array()) return false;
  const auto& value = config.json().at(key);
  return std::any_of(value.begin(), value.end(), [](const auto& one) { return one.is_array(); });
}

// Down blocks, mid block and up blocks, which go the other way.
void parse_transformers(UNetConfig& out, const Config& config) {
  const std::string key = "transformer_layers_per_block", back = "reverse_" + key;
  out.down_depths = parse_depths(config, key, out.layers_per_block);
  out.mid_depth = out.down_depths.back().front();
  std::vector<std::int64_t> attentions = out.layers_per_block;
  for (auto& one : attentions) ++one;
  if (config.has(back)) {
    std::reverse(attentions.begin(), attentions.end());
    out.up_depths = parse_depths(config, back, attentions);
  } else {
    if (is_nested(config, key)) reject("'" + key + "' has a list for a level, and '" + back + "' is missing", config.where());
    out.up_depths = parse_depths(config, key, attentions);
    std::reverse(out.up_depths.begin(), out.up_depths.end());
  }
}

// Widths, depths and heads, level by level.
void parse_levels(UNetConfig& out, const Config& config) {
  const size_t levels = out.down_attention.size();
  out.block_out_channels = config.integers("block_out_channels", levels, 320);
  out.layers_per_block = config.integers("layers_per_block", levels, 2);
  // diffusers reads `attention_head_dim` as the NUMBER of heads where num_attention_heads is absent (its issue 2011).
  // Blocks with added K and V do read it as the width of one.
  out.heads = config.has("num_attention_heads") ? config.integers("num_attention_heads", levels, 8) : config.integers("attention_head_dim", levels, 8);
  for (size_t i = 0; i < levels; ++i) {
    const std::string level = " of level " + std::to_string(i);
    const std::int64_t channels = out.block_out_channels[i];
    auto within = [&](std::int64_t value, std::int64_t high, const std::string& name) {
      if (value < 1 || value > high) reject(name + level + " is " + std::to_string(value) + ", expected 1 to " + std::to_string(high), config.where());
    };
    within(channels, 65536, "block_out_channels");
    within(out.layers_per_block[i], 64, "layers_per_block");
    if (out.added_kv) {
      const auto widths = config.integers("attention_head_dim", levels, 8);
      within(widths[i], 65536, "attention_head_dim");
      const bool attends = out.down_attention[i] || out.up_attention[levels - 1 - i] || (out.mid_attention && i + 1 == levels);
      if (attends && channels % widths[i] != 0)
        reject(std::to_string(channels) + " channels" + level + " do not divide into heads of " + std::to_string(widths[i]), config.where());
      out.heads[i] = attends ? channels / widths[i] : 1;
    }
    within(out.heads[i], channels, "the number of heads");
    if (channels % out.norm_groups != 0)
      reject(std::to_string(channels) + " channels" + level + " do not divide into " + std::to_string(out.norm_groups) + " norm groups", config.where());
    if (channels % out.heads[i] != 0)
      reject(std::to_string(channels) + " channels" + level + " do not divide into " + std::to_string(out.heads[i]) + " heads", config.where());
  }
}

// What is read beside the prompt.
void parse_addition(UNetConfig& out, const Config& config) {
  if (const std::string addition = config.text("addition_embed_type", ""); addition == "text_time") {
    out.addition_time_embed_dim = config.size("addition_time_embed_dim", 256, 2, 65536);
    out.addition_width = config.size("projection_class_embeddings_input_dim", 2816, 1, 1 << 20);
  } else if (addition == "text") {
    out.pooling_heads = config.size("addition_embed_type_num_heads", 64, 1, 1024);
    if (out.raw_prompt_width() % out.pooling_heads != 0) reject("the prompt's width does not divide into addition_embed_type_num_heads", config.where());
  } else if (!addition.empty()) {
    reject("addition_embed_type is '" + addition + "', supported are text and text_time", config.where());
  }
}

}  // namespace

UNetConfig UNetConfig::parse(const Config& config) {
  UNetConfig out;
  // Options whose other values change the computation and are not built here.
  config.require("num_class_embeds", nullptr);
  config.require("time_embedding_type", "positional");
  config.require("dual_cross_attention", false);
  config.require("conv_in_kernel", 3);
  config.require("conv_out_kernel", 3);
  config.require("downsample_padding", 1);
  config.require("attention_type", "default");
  config.require("timestep_post_act", nullptr);
  config.require("class_embeddings_concat", false);

  parse_blocks(out, config);
  out.activation = parse_activation(config, "act_fn", config.text("act_fn", "silu"));
  if (out.added_kv) {
    parse_added_kv(out, config);
  } else {
    // Options whose other values change the computation and are not built for this kind.
    for (const char* key : {"class_embed_type", "encoder_hid_dim", "encoder_hid_dim_type", "time_embedding_act_fn", "cross_attention_norm"})
      config.require(key, nullptr);
    config.require("act_fn", "silu");
    config.require("resnet_time_scale_shift", "default");
    config.require("only_cross_attention", false);
    config.require("mid_block_scale_factor", 1);
    config.require("resnet_out_scale_factor", 1);
    config.require("resnet_skip_time_act", false);
    out.added_only.assign(out.down_attention.size(), false);
  }
  out.in_channels = config.size("in_channels", 4, 1, 1024);
  out.out_channels = config.size("out_channels", 4, 1, 1024);
  // One number, or two that are equal.
  const nlohmann::json sides = config.has("sample_size") ? config.json()["sample_size"] : nlohmann::json();
  const bool square = sides.is_array() && sides.size() == 2 && sides[0] == sides[1] && sides[0].is_number_integer();
  out.sample_size = square ? sides[0].get<std::int64_t>() : config.size("sample_size", 64, 1, 4096);
  out.cross_attention_dim = config.size("cross_attention_dim", 1280, 1, 65536);
  out.norm_groups = config.size("norm_num_groups", 32, 1, 4096);
  out.norm_eps = config.number("norm_eps", 1e-5, 0, 1);
  out.linear_projection = config.boolean("use_linear_projection", false);
  out.upcast_attention = config.boolean("upcast_attention", false);
  out.flip_sin_to_cos = config.boolean("flip_sin_to_cos", true);
  out.freq_shift = config.number("freq_shift", 0);
  out.center_input_sample = config.boolean("center_input_sample", false);
  if (config.has("time_cond_proj_dim")) out.guidance_width = config.size("time_cond_proj_dim", 256, 2, 65536);
  parse_addition(out, config);
  parse_levels(out, config);
  parse_transformers(out, config);
  return out;
}

/// One block of the U: resnets, each followed by attention where the level reads the prompt, then a resampler.
/// Mirrors diffusers' (CrossAttn)DownBlock2D, UNetMidBlock2DCrossAttn and (CrossAttn)UpBlock2D; and, with added K and V,
/// SimpleCrossAttnDownBlock2D, ResnetDownsampleBlock2D and their counterparts.
class UNetLevel : public torch::nn::Module {
 public:
  UNetLevel() {
    resnets = std::make_shared<List<ResnetBlock2D>>();
    transformers_ = std::make_shared<List<SpatialTransformer>>();
    added_ = std::make_shared<List<Attention>>();
  }

  void add_attention(const UNetConfig& c, size_t level, std::int64_t depth, bool added_only) {
    const std::int64_t channels = c.block_out_channels[level];
    const auto heads = static_cast<int>(c.heads[level]);
    if (!c.added_kv) {
      transformers_->add(channels, heads, depth, c.cross_attention_dim, c.norm_groups, c.linear_projection, c.upcast_attention);
      return;
    }
    added_->add(Attention::Options{.query_width = channels,
                                   .heads = heads,
                                   .head_width = channels / heads,
                                   .qkv_bias = true,
                                   .added_width = c.cross_attention_dim,
                                   .added_only = added_only,
                                   .groups = c.norm_groups,
                                   .context_norm = c.context_norm});
  }

  void finish() {
    register_module("resnets", resnets);
    if (transformers_->size() > 0) register_module("attentions", transformers_);
    if (added_->size() > 0) register_module("attentions", added_);
    auto resampler = [&](const char* name, std::shared_ptr<torch::nn::Module> module) {
      if (module) register_module(name, std::make_shared<List<torch::nn::Module>>())->register_module("0", std::move(module));
    };
    resampler("downsamplers", downsampler);
    resampler("upsamplers", upsampler);
    if (resnet_resampler) resampler(downsamples ? "downsamplers" : "upsamplers", resnet_resampler);
  }

  torch::Tensor attend(size_t i, const torch::Tensor& x, const PromptStates& prompt, Taps* taps) const {
    if (transformers_->size() > 0) return (*transformers_)[i].forward(x, prompt, taps);
    return added_->size() > 0 ? (*added_)[i].forward_added(x, prompt, taps) : x;
  }
  /// Calls visit(attention, "attentions.0.transformer_blocks.0.attn2") for each prompt-reading layer, in forward order.
  template <class Visit>
  void each_site(const Visit& visit) const {
    for (size_t i = 0; i < transformers_->size(); ++i) {
      auto& layers = *(*transformers_)[i].transformer_blocks;
      for (size_t j = 0; j < layers.size(); ++j) {
        visit(*layers[j].attn2, i, "transformer_blocks." + std::to_string(j) + ".attn2");
        layers[j].attn1->beside = layers[j].attn2->site;
      }
    }
    for (size_t i = 0; i < added_->size(); ++i) visit((*added_)[i], i, std::string());
  }

  std::shared_ptr<List<ResnetBlock2D>> resnets;
  std::shared_ptr<Downsample2D> downsampler;
  std::shared_ptr<Upsample2D> upsampler;
  std::shared_ptr<ResnetBlock2D> resnet_resampler;  // IF's, in either direction
  bool downsamples = false;

 private:
  std::shared_ptr<List<SpatialTransformer>> transformers_;
  std::shared_ptr<List<Attention>> added_;
};

/// A prompt's tokens pooled by attention from their mean. Mirrors diffusers' `TextTimeEmbedding` and `AttentionPooling`.
class TextPooling : public torch::nn::Module {
 public:
  TextPooling(std::int64_t width, std::int64_t out, std::int64_t heads) : heads_(heads) {
    norm1 = register_module("norm1", std::make_shared<LayerNorm>(width));
    auto pool = register_module("pool", std::make_shared<Names>());
    position_ = pool->register_parameter("positional_embedding", torch::empty({1, width}, on_host()));
    k_proj = pool->register_module("k_proj", std::make_shared<Linear>(width, width));
    q_proj = pool->register_module("q_proj", std::make_shared<Linear>(width, width));
    v_proj = pool->register_module("v_proj", std::make_shared<Linear>(width, width));
    proj = register_module("proj", std::make_shared<Linear>(width, out));
    norm2 = register_module("norm2", std::make_shared<LayerNorm>(out));
  }
  /// tokens: [B, T, width] -> [B, out]
  torch::Tensor forward(const torch::Tensor& tokens) const {
    const torch::Tensor x = norm1->forward(tokens), mean = x.mean(1, true) + position_, all = at::cat({mean, x}, 1);
    auto split = [&](const torch::Tensor& t) { return t.view({t.size(0), t.size(1), heads_, -1}).transpose(1, 2); };
    const torch::Tensor pooled = at::scaled_dot_product_attention(split(q_proj->forward(mean)), split(k_proj->forward(all)), split(v_proj->forward(all)));
    return norm2->forward(proj->forward(pooled.transpose(1, 2).reshape({x.size(0), -1})));
  }

 private:
  std::int64_t heads_;
  torch::Tensor position_;
  std::shared_ptr<LayerNorm> norm1, norm2;
  std::shared_ptr<Linear> k_proj, q_proj, v_proj, proj;
};

UNet::~UNet() = default;

UNet::UNet(const UNetConfig& c) : config_(c) {
  const size_t levels = c.block_out_channels.size();
  const std::int64_t time_width = c.block_out_channels[0] * 4;
  ResnetBlock2D::Options resnet{.time_width = time_width,
                                .groups = c.norm_groups,
                                .eps = c.norm_eps,
                                .scale_shift = c.scale_shift,
                                .activation = c.activation,
                                .skip_time_act = c.skip_time_act,
                                .output_scale = c.output_scale};

  conv_in = register_module("conv_in", std::make_shared<Conv2d>(c.in_channels, c.block_out_channels[0], 3, 1, 1));
  time_embedding = register_module("time_embedding", std::make_shared<Names>());
  linear_1 = time_embedding->register_module("linear_1", std::make_shared<Linear>(c.block_out_channels[0], time_width));
  linear_2 = time_embedding->register_module("linear_2", std::make_shared<Linear>(time_width, time_width));

  if (c.guidance_width > 0)
    guidance_proj = time_embedding->register_module("cond_proj", std::make_shared<Linear>(c.guidance_width, c.block_out_channels[0], false));

  if (c.noise_level) {
    auto names = register_module("class_embedding", std::make_shared<Names>());
    level_1_ = names->register_module("linear_1", std::make_shared<Linear>(c.block_out_channels[0], time_width));
    level_2_ = names->register_module("linear_2", std::make_shared<Linear>(time_width, time_width));
  }
  if (c.prompt_width > 0) encoder_hid_proj = register_module("encoder_hid_proj", std::make_shared<Linear>(c.prompt_width, c.cross_attention_dim));
  if (c.pooling_heads > 0) pooling_ = register_module("add_embedding", std::make_shared<TextPooling>(c.raw_prompt_width(), time_width, c.pooling_heads));
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
      block.resnets->add(i == 0 ? channels : out, out, resnet);
      if (c.down_attention[level]) block.add_attention(c, level, c.down_depths[level][static_cast<size_t>(i)], c.added_only[level]);
      skips.push_back(out);
    }
    if (level + 1 < levels) {
      if (c.added_kv) {
        ResnetBlock2D::Options down = resnet;
        down.resample = ResnetBlock2D::Resample::down;
        block.resnet_resampler = std::make_shared<ResnetBlock2D>(out, out, down);
        block.downsamples = true;
      } else {
        block.downsampler = std::make_shared<Downsample2D>(out, 1);
      }
      skips.push_back(out);
    }
    block.finish();
    channels = out;
  }

  if (c.mid_block) {
    mid_block = std::make_shared<UNetLevel>();
    ResnetBlock2D::Options mid = resnet;
    mid.output_scale = c.mid_scale;
    mid_block->resnets->add(channels, channels, mid);
    if (c.mid_attention) {
      mid_block->add_attention(c, levels - 1, c.mid_depth, c.mid_added_only);
      mid_block->resnets->add(channels, channels, mid);
    }
    mid_block->finish();
    register_module("mid_block", mid_block);
  }

  up_blocks = register_module("up_blocks", std::make_shared<List<UNetLevel>>());
  for (size_t i = 0; i < levels; ++i) {
    const size_t level = levels - 1 - i;
    UNetLevel& block = up_blocks->add();
    const std::int64_t out = c.block_out_channels[level];
    for (std::int64_t j = 0; j < c.layers_per_block[level] + 1; ++j) {
      block.resnets->add((j == 0 ? channels : out) + skips.back(), out, resnet);
      skips.pop_back();
      if (c.up_attention[i]) block.add_attention(c, level, c.up_depths[i][static_cast<size_t>(j)], c.added_only[level]);
    }
    if (level > 0 && c.added_kv) {
      ResnetBlock2D::Options up = resnet;
      up.resample = ResnetBlock2D::Resample::up;
      block.resnet_resampler = std::make_shared<ResnetBlock2D>(out, out, up);
    } else if (level > 0) {
      block.upsampler = std::make_shared<Upsample2D>(out);
    }
    block.finish();
    channels = out;
  }
  conv_norm_out = register_module("conv_norm_out", std::make_shared<GroupNorm>(c.norm_groups, channels, c.norm_eps));
  conv_out = register_module("conv_out", std::make_shared<Conv2d>(channels, c.out_channels, 3, 1, 1));
  number_sites();
}

void UNet::number_sites() {
  // kohya names SD 1 and 2 as diffusers does, SDXL as its first code did: input_blocks, middle_block, output_blocks.
  const bool original_names = config_.addition_width > 0;
  auto visit = [&](const UNetLevel& block, const std::string& path, const std::string& original, size_t first, const std::string& name, BlockPlace place) {
    block.each_site([&](Attention& attention, size_t i, const std::string& inner) {
      const std::string rest = inner.empty() ? "" : "." + inner;
      const std::string own = path + ".attentions." + std::to_string(i) + rest;
      const std::string numbered = original + (original == "middle_block" ? "" : "." + std::to_string(first + i)) + ".1" + rest;
      std::string kohya = "lora_unet_" + (original_names ? numbered : own);
      std::replace(kohya.begin(), kohya.end(), '.', '_');
      Site site{.path = own, .block = name, .place = place};
      if (!config_.added_kv) {  // DeepFloyd IF's layers have other names there, and none in kohya's files
        site.kohya = kohya;
        site.original = {numbered + ".to_k", numbered + ".to_v"};
      }
      site.has_mlp = !inner.empty();
      site.has_picture_kv = !inner.empty() || attention.to_k != nullptr;
      add_site(sites_, attention, std::move(site));
      site_attentions_.push_back(&attention);
    });
  };
  // Forward order, which is not registration order in diffusers: there up_blocks come before mid_block.
  size_t first = 1;  // input_blocks.0 is conv_in
  for (size_t i = 0; i < down_blocks->size(); ++i) {
    visit((*down_blocks)[i], "down_blocks." + std::to_string(i), "input_blocks", first, "down " + std::to_string(i), BlockPlace::down);
    first += (*down_blocks)[i].resnets->size() + 1;
  }
  if (mid_block) visit(*mid_block, "mid_block", "middle_block", 0, "mid", BlockPlace::middle);
  first = 0;
  for (size_t i = 0; i < up_blocks->size(); ++i) {
    visit((*up_blocks)[i], "up_blocks." + std::to_string(i), "output_blocks", first, "up " + std::to_string(i), BlockPlace::up);
    first += (*up_blocks)[i].resnets->size();
  }
  for (const auto& parameter : parameters()) sites_.denoiser_parameters += parameter.numel();
}

// Sinusoids of how far guidance is over 1. Source: diffusers `get_guidance_scale_embedding` of its latent consistency pipeline.
static torch::Tensor guidance_embedding(const torch::Tensor& guidance, std::int64_t width) {
  const std::int64_t half = width / 2;
  const torch::Tensor rates = (torch::arange(half, guidance.options()) * (-std::log(10000.0) / static_cast<double>(half - 1))).exp();
  const torch::Tensor angles = ((guidance - 1) * 1000).unsqueeze(1) * rates.unsqueeze(0), out = at::cat({angles.sin(), angles.cos()}, 1);
  return width % 2 == 0 ? out : at::constant_pad_nd(out, {0, 1});
}

// The timestep's embedding [B, 4 x the first width], and SDXL's pooled prompt and sizes added to it.
torch::Tensor UNet::time_features(const torch::Tensor& timestep, const Conditioning& conditioning) const {
  const auto dtype = conv_in->dtype();
  auto sinusoids = [&](const torch::Tensor& values, std::int64_t width) {
    return timestep_embedding(values, width, config_.flip_sin_to_cos, config_.freq_shift);
  };
  auto embed = [&](const Linear& first, const Linear& second, const torch::Tensor& values) {
    return second.forward(activate(config_.activation, first.forward(sinusoids(values, config_.block_out_channels[0]).to(dtype))));
  };
  torch::Tensor steps = sinusoids(timestep, config_.block_out_channels[0]).to(dtype);
  if (guidance_proj) {
    if (!conditioning.guidance.defined() || conditioning.guidance.sizes() != timestep.sizes()) reject("this model reads the guidance as a number", "U-Net");
    steps = steps + guidance_proj->forward(guidance_embedding(conditioning.guidance, config_.guidance_width).to(dtype));
  }
  torch::Tensor time = linear_2->forward(activate(config_.activation, linear_1->forward(steps)));
  if (level_1_) {
    if (!conditioning.noise_level.defined()) reject("this model reads a noise level beside the timestep", "U-Net");
    time = time + embed(*level_1_, *level_2_, conditioning.noise_level.reshape({-1}));
  }
  if (pooling_) time = time + pooling_->forward(conditioning.pooled.defined() ? conditioning.pooled : conditioning.embedding);
  if (config_.time_activation) time = activate(*config_.time_activation, time);
  if (!add_linear_1) return time;
  const torch::Tensor &pooled = conditioning.pooled, &ids = conditioning.sizes;
  if (!pooled.defined() || !ids.defined() || pooled.size(1) + ids.size(1) * config_.addition_time_embed_dim != config_.addition_width)
    reject("the pooled prompt and the sizes do not make the " + std::to_string(config_.addition_width) + " numbers this model reads", "U-Net");
  const torch::Tensor sizes = sinusoids(ids.reshape({-1}), config_.addition_time_embed_dim).reshape({ids.size(0), -1});
  return time + add_linear_2->forward(at::silu(add_linear_1->forward(at::cat({pooled.to(dtype), sizes.to(dtype)}, 1))));
}

torch::Tensor UNet::project_prompt(const torch::Tensor& embedding) const { return encoder_hid_proj ? encoder_hid_proj->forward(embedding) : embedding; }

torch::Tensor UNet::forward(const torch::Tensor& sample, const torch::Tensor& timestep, const Conditioning& conditioning, Taps* taps) const {
  if (sample.dim() != 4 || sample.size(1) != config_.in_channels)
    reject("the latent must be [batch, " + std::to_string(config_.in_channels) + ", height, width]", "U-Net");
  const torch::Tensor& raw = conditioning.embedding;
  if (raw.dim() != 3 || raw.size(2) != config_.raw_prompt_width() || raw.size(0) != sample.size(0))
    reject("the prompt embedding must be [" + std::to_string(sample.size(0)) + ", tokens, " + std::to_string(config_.raw_prompt_width()) + "]", "U-Net");
  const torch::Tensor& mask = conditioning.prompt_mask;
  if (mask.defined() && mask.sizes() != raw.sizes().slice(0, 2)) reject("the prompt's mask must be as long as the prompt", "U-Net");
  const PromptStates prompt{project_prompt(raw), mask};

  const torch::Tensor time = time_features(timestep, conditioning);
  torch::Tensor x = config_.center_input_sample ? 2 * sample - 1 : sample;
  x = conv_in->forward(x);
  std::vector<torch::Tensor> skips{x};
  for (const auto& block : *down_blocks) {
    for (size_t i = 0; i < block->resnets->size(); ++i) {
      x = (*block->resnets)[i].forward(x, time);
      x = block->attend(i, x, prompt, taps);
      skips.push_back(x);
    }
    if (block->downsampler) skips.push_back(x = block->downsampler->forward(x));
    if (block->resnet_resampler) skips.push_back(x = block->resnet_resampler->forward(x, time));
  }
  for (size_t i = 0; mid_block && i < mid_block->resnets->size(); ++i) {
    if (i > 0) x = mid_block->attend(i - 1, x, prompt, taps);
    x = (*mid_block->resnets)[i].forward(x, time);
  }
  for (const auto& block : *up_blocks) {
    for (size_t i = 0; i < block->resnets->size(); ++i) {
      x = (*block->resnets)[i].forward(at::cat({x, skips.back()}, 1), time);
      skips.pop_back();
      x = block->attend(i, x, prompt, taps);
    }
    // An odd side was halved rounding up: the skip that comes next says what size to go back to.
    if (block->upsampler) x = block->upsampler->forward(x, skips.back().sizes().slice(2));
    if (block->resnet_resampler) x = block->resnet_resampler->forward(x, time);
  }
  return conv_out->forward(activate(config_.activation, conv_norm_out->forward(x)));
}

}  // namespace glyphscope
