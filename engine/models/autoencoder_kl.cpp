#include "models/autoencoder_kl.h"

#include <torch/types.h>

#include <algorithm>
#include <functional>

#include "core/error.h"
#include "device/placement.h"

namespace glyphscope {

namespace {

// One number a channel; none where the configuration has none.
std::vector<double> numbers_of_channels(const Config& config, const char* name, std::int64_t channels) {
  const auto found = config.json().find(name);
  if (found == config.json().end() || found->is_null()) return {};
  const auto is_number = [](const auto& one) { return one.is_number(); };
  if (!found->is_array() || static_cast<std::int64_t>(found->size()) != channels || !std::all_of(found->begin(), found->end(), is_number))
    reject(std::string("'") + name + "' is " + found->dump().substr(0, 60) + ", a number for each of " + std::to_string(channels) + " channels was expected",
           config.where());
  return found->template get<std::vector<double>>();
}

// [1, C, 1, 1], there; `otherwise` where there are none.
torch::Tensor beside_channels(const std::vector<double>& numbers, double otherwise, const torch::Tensor& latents) {
  const std::vector<double> all = numbers.empty() ? std::vector<double>{otherwise} : numbers;
  return torch::tensor(all, on_host(torch::kFloat32)).view({1, -1, 1, 1}).to(latents.device());
}

}  // namespace

AutoencoderConfig AutoencoderConfig::parse(const Config& config) {
  AutoencoderConfig out;
  const std::string kind = config.text("_class_name", "AutoencoderKL");
  if (kind != "AutoencoderKL" && kind != "VQModel")
    reject("the autoencoder is of class '" + kind + "'", config.where(), "AutoencoderKL and VQModel are read: use the one that the model was published with");
  config.require("act_fn", "silu");
  const auto down = config.texts("down_block_types"), up = config.texts("up_block_types");
  for (const auto& name : down)
    if (name != "DownEncoderBlock2D") reject("unknown down block '" + name + "'", config.where());
  for (const auto& name : up)
    if (name != "UpDecoderBlock2D") reject("unknown up block '" + name + "'", config.where());
  if (down.empty() || down.size() != up.size() || down.size() > 8)
    reject("down_block_types and up_block_types need one entry a level, 8 at most", config.where());
  out.in_channels = config.size("in_channels", 3, 1, 64);
  out.out_channels = config.size("out_channels", 3, 1, 64);
  out.latent_channels = config.size("latent_channels", 4, 1, 1024);
  out.sample_size = config.size("sample_size", 512, 1, 8192);
  out.block_out_channels = config.integers("block_out_channels", down.size(), 64);
  out.layers_per_block = config.size("layers_per_block", 1, 1, 64);
  out.norm_groups = config.size("norm_num_groups", 32, 1, 4096);
  out.mid_attention = config.boolean("mid_block_add_attention", true);
  out.quant_conv = config.boolean("use_quant_conv", true);
  out.post_quant_conv = config.boolean("use_post_quant_conv", true);
  out.scaling_factor = config.number("scaling_factor", 0.18215, 1e-6);
  out.shift_factor = config.number("shift_factor", 0);
  if (config.text("_class_name", "") == "VQModel") {
    config.require("norm_type", "group");
    out.codebook = config.size("num_vq_embeddings", 256, 1, 1 << 20);
    out.code_width = config.size("vq_embed_dim", out.latent_channels, 1, 1024);
    if (out.code_width != out.latent_channels)
      reject("vq_embed_dim is " + std::to_string(out.code_width) + ", latent_channels is " + std::to_string(out.latent_channels) + ": they must be equal",
             config.where());
  }
  out.latents_mean = numbers_of_channels(config, "latents_mean", out.latent_channels);
  out.latents_std = numbers_of_channels(config, "latents_std", out.latent_channels);
  if (std::any_of(out.latents_std.begin(), out.latents_std.end(), [](double one) { return !(one > 0); }))
    reject("latents_std holds a number that is not over 0", config.where());
  if (!(out.scaling_factor > 0)) reject("scaling_factor must be over 0", config.where());
  for (auto channels : out.block_out_channels)
    if (channels < 1 || channels > 65536 || channels % out.norm_groups != 0)
      reject("block_out_channels " + std::to_string(channels) + " do not divide into " + std::to_string(out.norm_groups) + " norm groups", config.where());
  return out;
}

torch::Tensor LatentDistribution::sample(const torch::Tensor& noise) const { return mean + (log_variance * 0.5).exp() * noise; }

torch::Tensor LatentDistribution::kl() const { return 0.5 * (mean.pow(2) + log_variance.exp() - 1 - log_variance).sum({1, 2, 3}); }

std::string modern_autoencoder_key(const std::string& key) {
  static const std::pair<const char*, const char*> renames[] = {
      {".query.", ".to_q."}, {".key.", ".to_k."}, {".value.", ".to_v."}, {".proj_attn.", ".to_out.0."}};
  const auto at = key.find("mid_block.attentions.");
  if (at == std::string::npos) return key;
  for (const auto& [old, modern] : renames)
    if (auto found = key.find(old, at); found != std::string::npos) return key.substr(0, found) + modern + key.substr(found + std::string(old).size());
  return key;
}

namespace {

constexpr double kEps = 1e-6;  // of every norm in diffusers' autoencoder

/// Self-attention over pixels, with its own norm and residual.
class PixelAttention : public torch::nn::Module {
 public:
  PixelAttention(std::int64_t channels, std::int64_t groups) {
    group_norm = register_module("group_norm", std::make_shared<GroupNorm>(groups, channels, kEps));
    attention_ = std::make_shared<Attention>(Attention::Options{.query_width = channels, .heads = 1, .head_width = channels, .qkv_bias = true});
    for (const auto& child : attention_->named_children()) register_module(child.key(), child.value());
  }
  torch::Tensor forward(const torch::Tensor& x) const {
    torch::Tensor h = group_norm->forward(x).flatten(2).transpose(1, 2);
    return x + attention_->forward(h, {}, nullptr).transpose(1, 2).reshape(x.sizes());
  }

 private:
  std::shared_ptr<GroupNorm> group_norm;
  std::shared_ptr<Attention> attention_;
};

class CoderBlock : public torch::nn::Module {
 public:
  CoderBlock() { resnets = register_module("resnets", std::make_shared<List<ResnetBlock2D>>()); }
  std::shared_ptr<List<ResnetBlock2D>> resnets;
  std::shared_ptr<List<PixelAttention>> attentions;
  std::shared_ptr<List<Downsample2D>> downsamplers;
  std::shared_ptr<List<Upsample2D>> upsamplers;

  torch::Tensor forward(torch::Tensor x) const {
    for (size_t i = 0; i < resnets->size(); ++i) {
      x = (*resnets)[i].forward(x, {});
      if (attentions && i < attentions->size()) x = (*attentions)[i].forward(x);
    }
    if (downsamplers) x = (*downsamplers)[0].forward(x);
    if (upsamplers) x = (*upsamplers)[0].forward(x);
    return x;
  }
};

}  // namespace

/// Encoder or decoder: both are a convolution, blocks, and a normalised convolution; the middle comes last or first.
class AutoencoderCoder : public torch::nn::Module {
 public:
  AutoencoderCoder(const AutoencoderConfig& c, bool encodes) : encodes_(encodes) {
    const auto& widths = c.block_out_channels;
    const std::int64_t inner = widths.back();
    const ResnetBlock2D::Options resnet{.groups = c.norm_groups, .eps = kEps};
    conv_in = register_module("conv_in", std::make_shared<Conv2d>(encodes ? c.in_channels : c.latent_channels, encodes ? widths[0] : inner, 3, 1, 1));
    blocks_ = register_module(encodes ? "down_blocks" : "up_blocks", std::make_shared<List<CoderBlock>>());
    std::int64_t channels = encodes ? widths[0] : inner;
    for (size_t i = 0; i < widths.size(); ++i) {
      CoderBlock& block = blocks_->add();
      const std::int64_t out = encodes ? widths[i] : widths[widths.size() - 1 - i];
      for (std::int64_t j = 0; j < c.layers_per_block + (encodes ? 0 : 1); ++j) block.resnets->add(j == 0 ? channels : out, out, resnet);
      if (i + 1 < widths.size()) {
        if (encodes) {
          block.downsamplers = block.register_module("downsamplers", std::make_shared<List<Downsample2D>>());
          block.downsamplers->add(out, 0);
        } else {
          block.upsamplers = block.register_module("upsamplers", std::make_shared<List<Upsample2D>>());
          block.upsamplers->add(out);
        }
      }
      channels = out;
    }
    mid_block = register_module("mid_block", std::make_shared<CoderBlock>());
    mid_block->resnets->add(inner, inner, resnet);
    mid_block->resnets->add(inner, inner, resnet);
    if (c.mid_attention) {
      mid_block->attentions = mid_block->register_module("attentions", std::make_shared<List<PixelAttention>>());
      mid_block->attentions->add(inner, c.norm_groups);
    }
    conv_norm_out = register_module("conv_norm_out", std::make_shared<GroupNorm>(c.norm_groups, channels, kEps));
    conv_out =
        register_module("conv_out", std::make_shared<Conv2d>(channels, encodes ? (c.codebook > 0 ? 1 : 2) * c.latent_channels : c.out_channels, 3, 1, 1));
  }

  torch::Tensor forward(torch::Tensor x) const {
    x = conv_in->forward(x);
    if (!encodes_) x = mid_block->forward(x);
    for (const auto& block : *blocks_) x = block->forward(x);
    if (encodes_) x = mid_block->forward(x);
    return conv_out->forward(at::silu(conv_norm_out->forward(x)));
  }

 private:
  bool encodes_;
  std::shared_ptr<Conv2d> conv_in, conv_out;
  std::shared_ptr<List<CoderBlock>> blocks_;
  std::shared_ptr<CoderBlock> mid_block;
  std::shared_ptr<GroupNorm> conv_norm_out;
};

AutoencoderKl::~AutoencoderKl() = default;

AutoencoderKl::AutoencoderKl(const AutoencoderConfig& config) : config_(config) {
  tile_size = usual_tile_size();
  encoder = register_module("encoder", std::make_shared<AutoencoderCoder>(config, true));
  decoder = register_module("decoder", std::make_shared<AutoencoderCoder>(config, false));
  const std::int64_t moments = (config.codebook > 0 ? 1 : 2) * config.latent_channels;
  if (config.quant_conv) quant_conv = register_module("quant_conv", std::make_shared<Conv2d>(moments, moments, 1));
  if (config.post_quant_conv) post_quant_conv = register_module("post_quant_conv", std::make_shared<Conv2d>(config.latent_channels, config.latent_channels, 1));
  if (config.codebook > 0) {
    codes_ =
        register_module("quantize", std::make_shared<Names>())->register_module("embedding", std::make_shared<Embedding>(config.codebook, config.code_width));
  }
}

namespace {

// Blends the trailing `extent` rows or columns of `before` into the leading ones of `after`, linearly.
void blend(const torch::Tensor& before, torch::Tensor& after, std::int64_t extent, std::int64_t dim) {
  extent = std::min({extent, before.size(dim), after.size(dim)});
  std::vector<std::int64_t> shape(4, 1);
  shape[static_cast<size_t>(dim)] = extent;
  torch::Tensor weight = (torch::arange(extent, after.options().dtype(torch::kFloat32)) / static_cast<double>(extent)).to(after.scalar_type()).view(shape);
  torch::Tensor head = after.narrow(dim, 0, extent);
  head.copy_(before.narrow(dim, before.size(dim) - extent, extent) * (1 - weight) + head * weight);
}

// Source: diffusers `AutoencoderKL._tiled_encode` and `tiled_decode`: overlap factor 0.25.
torch::Tensor tiled(const torch::Tensor& x, std::int64_t tile, std::int64_t tile_out, const std::function<torch::Tensor(const torch::Tensor&)>& code) {
  const auto overlap = static_cast<std::int64_t>(static_cast<double>(tile) * 0.75), extent = static_cast<std::int64_t>(static_cast<double>(tile_out) * 0.25);
  std::vector<std::vector<torch::Tensor>> rows;
  for (std::int64_t i = 0; i < x.size(2); i += overlap) {
    rows.emplace_back();
    for (std::int64_t j = 0; j < x.size(3); j += overlap) rows.back().push_back(code(x.slice(2, i, i + tile).slice(3, j, j + tile)).clone());
  }
  std::vector<torch::Tensor> lines;
  for (size_t i = 0; i < rows.size(); ++i) {
    std::vector<torch::Tensor> line;
    for (size_t j = 0; j < rows[i].size(); ++j) {
      if (i > 0) blend(rows[i - 1][j], rows[i][j], extent, 2);
      if (j > 0) blend(rows[i][j - 1], rows[i][j], extent, 3);
      line.push_back(rows[i][j].slice(2, 0, tile_out - extent).slice(3, 0, tile_out - extent));
    }
    lines.push_back(torch::cat(line, 3));
  }
  return torch::cat(lines, 2);
}

}  // namespace

torch::Tensor AutoencoderKl::encode_moments(const torch::Tensor& image) const {
  torch::Tensor moments = encoder->forward(image);
  return quant_conv ? quant_conv->forward(moments) : moments;
}

LatentDistribution AutoencoderKl::encode(const torch::Tensor& image) const {
  if (image.dim() != 4 || image.size(1) != config_.in_channels || image.size(2) % config_.factor() != 0 || image.size(3) % config_.factor() != 0)
    reject("the image must be [batch, " + std::to_string(config_.in_channels) + ", height, width] with sides that are multiples of " +
               std::to_string(config_.factor()),
           "autoencoder");
  const bool large = tile_size > 0 && (image.size(2) > tile_size || image.size(3) > tile_size);
  torch::Tensor moments =
      large ? tiled(image, tile_size, tile_size / config_.factor(), [this](const torch::Tensor& t) { return encode_moments(t); }) : encode_moments(image);
  if (codes_) return {moments, torch::full_like(moments, -30)};
  auto parts = moments.chunk(2, 1);
  return {parts[0], parts[1].clamp(-30, 20)};
}

// Source: diffusers `VectorQuantizer.forward`.
torch::Tensor AutoencoderKl::nearest_codes(const torch::Tensor& latent) const {
  const torch::Tensor points = latent.permute({0, 2, 3, 1});
  const torch::Tensor nearest = at::cdist(points.reshape({-1, config_.code_width}).to(torch::kFloat32), codes_->numbers().to(torch::kFloat32)).argmin(1);
  return codes_->forward(nearest).view(points.sizes()).permute({0, 3, 1, 2});
}

torch::Tensor AutoencoderKl::decode_whole(const torch::Tensor& wanted) const {
  const torch::Tensor latent = codes_ ? nearest_codes(wanted) : wanted;
  return decoder->forward(post_quant_conv ? post_quant_conv->forward(latent) : latent);
}

torch::Tensor AutoencoderKl::decode(const torch::Tensor& latent, const CancelToken& cancel) const {
  if (latent.dim() != 4 || latent.size(1) != config_.latent_channels)
    reject("the latent must be [batch, " + std::to_string(config_.latent_channels) + ", height, width]", "autoencoder");
  cancel.check();
  const std::int64_t tile = tile_size / config_.factor();
  if (tile_size == 0 || (latent.size(2) <= tile && latent.size(3) <= tile)) return decode_whole(latent);
  return tiled(latent, tile, tile_size, [&](const torch::Tensor& t) {
    cancel.check();
    return decode_whole(t);
  });
}

std::string AutoencoderKl::rename(const std::string& key) const { return modern_autoencoder_key(key); }

Autoencoder::Latents AutoencoderKl::to_latents(const torch::Tensor& pixels) const {
  const LatentDistribution latent = encode(pixels);
  if (!config_.latents_std.empty() || !config_.latents_mean.empty()) {
    const torch::Tensor wide = latent.mean.to(torch::kFloat32), scale = config_.scaling_factor / beside_channels(config_.latents_std, 1, wide);
    return {(wide - beside_channels(config_.latents_mean, 0, wide)) * scale, (0.5 * latent.log_variance.to(torch::kFloat32)).exp() * scale};
  }
  return {(latent.mean.to(torch::kFloat32) - config_.shift_factor) * config_.scaling_factor,
          (0.5 * latent.log_variance.to(torch::kFloat32)).exp() * config_.scaling_factor};
}

torch::Tensor AutoencoderKl::to_pixels(const torch::Tensor& latents, torch::ScalarType dtype, const CancelToken& cancel) const {
  if (!config_.latents_std.empty() || !config_.latents_mean.empty()) {
    const torch::Tensor scale = beside_channels(config_.latents_std, 1, latents) / config_.scaling_factor;
    return decode((latents * scale + beside_channels(config_.latents_mean, 0, latents)).to(dtype), cancel);
  }
  return decode((latents / config_.scaling_factor + config_.shift_factor).to(dtype), cancel);
}

std::unique_ptr<Autoencoder> make_autoencoder(const Config& config) { return std::make_unique<AutoencoderKl>(AutoencoderConfig::parse(config)); }

}  // namespace glyphscope
