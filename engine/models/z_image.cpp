#include "models/z_image.h"

#include <torch/types.h>

#include <algorithm>
#include <numeric>
#include <optional>

#include "core/error.h"
#include "device/placement.h"
#include "models/block.h"

namespace glyphscope {

namespace {

constexpr std::int64_t kTimeWidth = 256;  // at most, of what the time says to every block
constexpr std::int64_t kWaves = 256, kTimeInside = 1024;

std::int64_t time_width(const ZImageConfig& c) { return std::min(c.width, kTimeWidth); }

std::int64_t whole(std::int64_t tokens) { return (tokens + ZImage::kTokens - 1) / ZImage::kTokens * ZImage::kTokens; }

}  // namespace

ZImageConfig ZImageConfig::parse(const Config& config) {
  ZImageConfig out;
  const auto only = [&](const char* key, std::int64_t value) {
    if (config.has(key) && config.integers(key, 1, value) != std::vector<std::int64_t>{value})
      reject(std::string(key) + " is other than [" + std::to_string(value) + "]", config.where(), "Models with patches of that size alone are supported");
  };
  only("all_patch_size", 2);
  only("all_f_patch_size", 1);
  if (config.has("siglip_feat_dim"))
    reject("this transformer reads pictures too (siglip_feat_dim)", config.where(), "Z-Image and Z-Image Turbo, which draw from a prompt alone, are supported");
  out.channels = config.size("in_channels", 16, 1, 1024);
  out.width = config.size("dim", 3840, 1, 65536);
  out.heads = config.size("n_heads", 30, 1, 1024);
  out.layers = config.size("n_layers", 30, 0, 256);
  out.refiners = config.size("n_refiner_layers", 2, 0, 64);
  out.caption_width = config.size("cap_feat_dim", 2560, 1, 65536);
  out.norm_eps = config.number("norm_eps", 1e-5, 0, 1);
  out.qk_norm = config.boolean("qk_norm", true);
  out.rope_theta = config.number("rope_theta", 256, 1, 1e9);
  out.t_scale = config.number("t_scale", 1000, 0, 1e6);
  if (out.width % out.heads != 0)
    reject("dim is " + std::to_string(out.width) + ", which is no multiple of n_heads, " + std::to_string(out.heads), config.where());
  if (config.has("axes_dims")) out.axes = config.integers("axes_dims", 3, 0);
  if (config.has("axes_lens")) out.most = config.integers("axes_lens", 3, 0);
  for (const auto axis : out.axes)
    if (axis < 0 || axis % 2 != 0) reject("axes_dims has " + std::to_string(axis) + ", an even number was expected", config.where());
  for (const auto length : out.most)
    if (length < 1) reject("axes_lens has " + std::to_string(length) + ", a number of places was expected", config.where());
  if (std::accumulate(out.axes.begin(), out.axes.end(), std::int64_t{0}) != out.width / out.heads)
    reject("axes_dims do not add up to a head's width, " + std::to_string(out.width / out.heads), config.where());
  return out;
}

/// Attention and feed-forward, each between two norms. Mirrors diffusers' `ZImageTransformerBlock`.
class ZImageBlock : public Block {
 public:
  ZImageBlock(const ZImageConfig& c, bool modulated) {
    const auto norm = [&](const char* name) { return register_module(name, std::make_shared<RmsNorm>(c.width, c.norm_eps)); };
    constexpr double kAttentionEps = 1e-5;
    attention = register_module("attention", std::make_shared<Attention>(Attention::Options{.query_width = c.width,
                                                                                            .heads = static_cast<int>(c.heads),
                                                                                            .head_width = c.width / c.heads,
                                                                                            .qk_norm = c.qk_norm,
                                                                                            .qk_norm_eps = kAttentionEps,
                                                                                            .out_bias = false}));
    auto feed_forward = register_module("feed_forward", std::make_shared<Names>());
    const auto inside = static_cast<std::int64_t>(static_cast<double>(c.width) / 3 * 8);
    w1 = feed_forward->register_module("w1", std::make_shared<Linear>(c.width, inside, false));
    w2 = feed_forward->register_module("w2", std::make_shared<Linear>(inside, c.width, false));
    w3 = feed_forward->register_module("w3", std::make_shared<Linear>(c.width, inside, false));
    attention_norm1 = norm("attention_norm1");
    ffn_norm1 = norm("ffn_norm1");
    attention_norm2 = norm("attention_norm2");
    ffn_norm2 = norm("ffn_norm2");
    if (modulated)
      modulation = register_module("adaLN_modulation", std::make_shared<Names>())->register_module("0", std::make_shared<Linear>(time_width(c), 4 * c.width));
  }

  struct Turns {
    std::optional<Rotary> caption, picture;
  };
  /// x: [B, tokens of the caption, then of the picture, width]; mask: of the caption's tokens, or undefined; time: [B, time_width], undefined in a block
  /// without modulation.
  torch::Tensor forward(const torch::Tensor& x, std::int64_t caption, const torch::Tensor& mask, const torch::Tensor& time, const Turns& turns,
                        Taps* taps) const {
    Tensors inputs{x};
    if (modulation) inputs.push_back(time);
    return run(inputs, [this, caption, mask, turns, taps](const Tensors& in) -> Tensors {
      return {compute(in[0], caption, mask, in.size() > 1 ? in[1] : torch::Tensor(), turns, taps)};
    })[0];
  }

  std::shared_ptr<Attention> attention;

 private:
  torch::Tensor compute(const torch::Tensor& x, std::int64_t caption, const torch::Tensor& mask, const torch::Tensor& time, const Turns& turns,
                        Taps* taps) const {
    Tensors how;  // scale, gate, scale, gate: [B, 1, width] each
    if (modulation) how = modulation->forward(time).unsqueeze(1).chunk(4, 2);
    const auto scaled = [&](const torch::Tensor& one, size_t i) { return modulation ? one * (1 + how[i]) : one; };
    const auto gated = [&](const torch::Tensor& one, size_t i) { return modulation ? how[i].tanh() * one : one; };
    const torch::Tensor normed = scaled(attention_norm1->forward(x), 0);
    const torch::Tensor prompt = caption > 0 ? normed.slice(1, 0, caption) : torch::Tensor();
    const torch::Tensor picture = caption < x.size(1) ? normed.slice(1, caption) : torch::Tensor();
    const torch::Tensor attended =
        attention->forward_single({prompt, mask}, turns.caption ? &*turns.caption : nullptr, picture, turns.picture ? &*turns.picture : nullptr, taps);
    const torch::Tensor after = x + gated(attention_norm2->forward((*attention->to_out)[0].forward(attended)), 1);
    const torch::Tensor inner = scaled(ffn_norm1->forward(after), 2);
    const torch::Tensor out = w2->forward(at::silu(w1->forward(inner)) * w3->forward(inner));
    return after + gated(ffn_norm2->forward(taps && attention->site >= 0 ? taps->mlp(attention->site, out) : out), 3);
  }

  std::shared_ptr<Linear> w1, w2, w3, modulation;
  std::shared_ptr<RmsNorm> attention_norm1, attention_norm2, ffn_norm1, ffn_norm2;
};

/// Mirrors diffusers' `FinalLayer`.
class ZImageFinal : public torch::nn::Module {
 public:
  explicit ZImageFinal(const ZImageConfig& c) {
    linear = register_module("linear", std::make_shared<Linear>(c.width, 4 * c.channels));
    modulation = register_module("adaLN_modulation", std::make_shared<Names>())->register_module("1", std::make_shared<Linear>(time_width(c), c.width));
  }
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& time) const {
    const torch::Tensor scale = 1 + modulation->forward(at::silu(time)).unsqueeze(1);
    return linear->forward(at::layer_norm(x, {x.size(-1)}, {}, {}, 1e-6) * scale);
  }

 private:
  std::shared_ptr<Linear> linear, modulation;
};

ZImage::~ZImage() = default;

ZImage::ZImage(const ZImageConfig& c) : config_(c) {
  const auto names = [&](const char* name) { return register_module(name, std::make_shared<Names>()); };
  // Named by the sizes of a patch: 2 x 2 points of 1 picture.
  x_embedder = names("all_x_embedder")->register_module("2-1", std::make_shared<Linear>(4 * c.channels, c.width));
  final_layer = names("all_final_layer")->register_module("2-1", std::make_shared<ZImageFinal>(c));
  const auto blocks = [&](const char* name, std::int64_t count, bool modulated) {
    auto list = register_module(name, std::make_shared<List<ZImageBlock>>());
    for (std::int64_t i = 0; i < count; ++i) list->add(c, modulated);
    return list;
  };
  noise_refiner = blocks("noise_refiner", c.refiners, true);
  context_refiner = blocks("context_refiner", c.refiners, false);
  auto mlp = names("t_embedder")->register_module("mlp", std::make_shared<Names>());
  time_in = mlp->register_module("0", std::make_shared<Linear>(kWaves, kTimeInside));
  time_out = mlp->register_module("2", std::make_shared<Linear>(kTimeInside, time_width(c)));
  auto caption = names("cap_embedder");
  caption_norm = caption->register_module("0", std::make_shared<RmsNorm>(c.caption_width, c.norm_eps));
  caption_in = caption->register_module("1", std::make_shared<Linear>(c.caption_width, c.width));
  x_pad_token = register_parameter("x_pad_token", torch::zeros({1, c.width}, on_host()));
  cap_pad_token = register_parameter("cap_pad_token", torch::zeros({1, c.width}, on_host()));
  layers = blocks("layers", c.layers, true);

  const auto add_sites = [&](const List<ZImageBlock>& list, const std::string& name, const char* block, bool has_picture) {
    for (size_t i = 0; i < list.size(); ++i) {
      const std::string path = name + "." + std::to_string(i) + ".attention";
      add_site(sites_, *list[i].attention,
               {.path = path,
                .kohya = "lora_unet_" + name + "_" + std::to_string(i) + "_attention_qkv",
                .block = block,
                .has_picture_kv = has_picture,
                .original = {path + ".qkv"}});
    }
  };
  add_sites(*context_refiner, "context_refiner", "refiner", false);
  add_sites(*layers, "layers", "single", true);
  for (const auto& parameter : parameters()) sites_.denoiser_parameters += parameter.numel();
}

// The pipeline counts time from noise, as a share, and the model scales it. Source: diffusers `ZImagePipeline` and `TimestepEmbedder`.
torch::Tensor ZImage::time(const torch::Tensor& timestep) const {
  const torch::Tensor share = (1000 - timestep) / 1000;
  const torch::Tensor waves = timestep_embedding(share * config_.t_scale, kWaves, true, 0);
  return time_out->forward(at::silu(time_in->forward(waves.to(time_in->dtype()))));
}

// Of places, [..] fp64 -> [.., width of the axis], each angle twice, for a pair of numbers that turns. Rounded as the reference's tables are.
torch::Tensor ZImage::angles(std::int64_t axis, const torch::Tensor& places) const {
  const std::int64_t width = config_.axes[static_cast<size_t>(axis)];
  const torch::Tensor power = torch::arange(0, width, 2, places.options()) / static_cast<double>(std::max<std::int64_t>(width, 1));
  return (places.unsqueeze(-1) * (1 / at::pow(config_.rope_theta, power))).to(torch::kFloat32).repeat_interleave(2, -1);
}

// Its tokens stand one after the other, from 1 on.
Rotary ZImage::caption_rotary(std::int64_t tokens, torch::Device device) const {
  const torch::Tensor own = angles(0, torch::arange(1, tokens + 1, on_host(torch::kFloat64)));
  const torch::Tensor angle = torch::constant_pad_nd(own, {0, config_.axes[1] + config_.axes[2]});
  return {angle.cos().to(device), angle.sin().to(device)};
}

// Its tokens stand where the caption ends, at their row and column; those that fill it up at no place. caption_ends: [B].
Rotary ZImage::picture_rotary(std::int64_t rows, std::int64_t columns, const torch::Tensor& caption_ends) const {
  const std::int64_t batch = caption_ends.size(0), points = rows * columns;
  const auto placed = [&](std::int64_t axis, const torch::Tensor& places) {
    return angles(axis, places).to(caption_ends.device()).unsqueeze(0).expand({batch, -1, -1});
  };
  const torch::Tensor row = torch::arange(rows, on_host(torch::kFloat64)).repeat_interleave(columns),
                      column = torch::arange(columns, on_host(torch::kFloat64)).repeat({rows});
  const torch::Tensor first = angles(0, caption_ends.to(torch::kFloat64) + 1).unsqueeze(1).expand({-1, points, -1});
  const torch::Tensor angle = torch::constant_pad_nd(torch::cat({first, placed(1, row), placed(2, column)}, 2), {0, 0, 0, whole(points) - points}).unsqueeze(1);
  return {angle.cos(), angle.sin()};
}

ZImage::Places ZImage::places(const torch::Tensor& given, std::int64_t rows, std::int64_t columns) const {
  const std::lock_guard lock(mutex_);
  if (places_.given.defined() && places_.given.is_same(given) && places_.rows == rows && places_.columns == columns) return places_;
  const torch::InferenceMode also_for_training(false);
  const std::int64_t tokens = given.size(1);
  // Where each row's caption ends, its learned tokens counted; beyond, nothing is attended to.
  const torch::Tensor ends = given.sum(1).add(kTokens - 1).floor_divide(kTokens).mul(kTokens);
  torch::Tensor mask = torch::arange(tokens, on_host(torch::kInt64)).to(given.device()).unsqueeze(0) < ends.unsqueeze(1);
  if (mask.all().item<bool>()) mask = torch::Tensor();
  places_ = {given, rows, columns, mask, caption_rotary(tokens, given.device()), picture_rotary(rows, columns, ends)};
  return places_;
}

torch::Tensor ZImage::forward(const torch::Tensor& sample, const torch::Tensor& timestep, const Conditioning& conditioning, Taps* taps) const {
  if (sample.dim() != 4 || sample.size(1) != config_.channels || sample.size(2) % 2 != 0 || sample.size(3) % 2 != 0)
    reject("the latent must be [batch, " + std::to_string(config_.channels) + ", height, width] with even sides", "Z-Image");
  const torch::Tensor& embedding = conditioning.embedding;
  if (embedding.dim() != 3 || embedding.size(2) != config_.caption_width || embedding.size(0) != sample.size(0) || embedding.size(1) % kTokens != 0 ||
      embedding.size(1) == 0)
    reject("the prompt embedding must be [" + std::to_string(sample.size(0)) + ", tokens, " + std::to_string(config_.caption_width) +
               "], its tokens a multiple of " + std::to_string(kTokens),
           "Z-Image");
  const std::int64_t batch = sample.size(0), rows = sample.size(2) / 2, columns = sample.size(3) / 2, points = rows * columns, tokens = embedding.size(1);
  if (rows > config_.most[1] || columns > config_.most[2] || tokens + 2 > config_.most[0])
    reject("a picture of " + std::to_string(rows) + " x " + std::to_string(columns) + " tokens with a prompt of " + std::to_string(tokens) +
               " is larger than the model has places for (axes_lens)",
           "Z-Image", "Draw a smaller picture, or shorten the prompt");
  const torch::Tensor given =
      conditioning.prompt_mask.defined() ? conditioning.prompt_mask : torch::ones({batch, tokens}, embedding.options().dtype(torch::kBool));
  if (given.sizes() != at::IntArrayRef({batch, tokens}))
    reject("the prompt's mask must be [" + std::to_string(batch) + ", " + std::to_string(tokens) + "]", "Z-Image");

  const Places there = places(given, rows, columns);
  const torch::Tensor& mask = there.mask;
  const torch::Tensor when = time(timestep);
  const ZImageBlock::Turns turns{there.caption, there.picture};

  // A token holds 2 x 2 points, all channels of one after those of another. Source: `_patchify_image`.
  torch::Tensor picture =
      x_embedder->forward(sample.view({batch, -1, rows, 2, columns, 2}).permute({0, 2, 4, 3, 5, 1}).reshape({batch, points, 4 * config_.channels}));
  if (const std::int64_t missing = whole(points) - points; missing > 0)
    picture = at::cat({picture, x_pad_token.unsqueeze(0).expand({batch, missing, -1}).to(picture.dtype())}, 1);
  for (const auto& block : *noise_refiner) picture = block->forward(picture, 0, {}, when, turns, taps);
  torch::Tensor caption = caption_in->forward(caption_norm->forward(embedding));
  caption = torch::where(given.unsqueeze(-1), caption, cap_pad_token.to(caption.dtype()));
  for (const auto& block : *context_refiner) caption = block->forward(caption, tokens, mask, {}, turns, taps);
  torch::Tensor both = at::cat({caption, picture}, 1);
  for (const auto& block : *layers) both = block->forward(both, tokens, mask, when, turns, taps);
  const torch::Tensor out = final_layer->forward(both.slice(1, tokens, tokens + points), when);
  return out.view({batch, rows, columns, 2, 2, config_.channels}).permute({0, 5, 1, 3, 2, 4}).reshape(sample.sizes()).neg();
}

}  // namespace glyphscope
