#include "models/mmdit.h"

#include <torch/types.h>

#include "core/error.h"
#include "device/placement.h"
#include "models/joint_block.h"

namespace glyphscope {

MmDitConfig MmDitConfig::parse(const Config& config) {
  MmDitConfig out;
  out.sample_size = config.size("sample_size", 128, 1, 4096);
  out.patch_size = config.size("patch_size", 2, 1, 64);
  out.in_channels = config.size("in_channels", 16, 1, 1024);
  out.out_channels = config.size("out_channels", 16, 1, 1024);
  out.layers = config.size("num_layers", 18, 1, 256);
  out.heads = config.size("num_attention_heads", 18, 1, 1024);
  out.head_width = config.size("attention_head_dim", 64, 1, 1024);
  out.joint_attention_dim = config.size("joint_attention_dim", 4096, 1, 65536);
  out.pooled_projection_dim = config.size("pooled_projection_dim", 2048, 1, 65536);
  out.pos_embed_max_size = config.size("pos_embed_max_size", 96, 1, 4096);
  if (const std::int64_t context = config.size("caption_projection_dim", 1152, 1, 1 << 20); context != out.width())
    reject("caption_projection_dim is " + std::to_string(context) + ", the blocks are " + std::to_string(out.width()) + " wide", config.where());
  const std::string norm = config.text("qk_norm", "");
  if (!norm.empty() && norm != "rms_norm") reject("unknown qk_norm '" + norm + "'", config.where());
  out.qk_norm = !norm.empty();
  out.dual_attention.assign(static_cast<size_t>(out.layers), false);
  if (config.has("dual_attention_layers")) {
    const auto& list = config.json().at("dual_attention_layers");
    if (!list.is_array()) reject("dual_attention_layers must be a list", config.where());
    for (const auto& layer : list) {
      if (!layer.is_number_integer() || layer < 0 || layer >= out.layers) reject("dual_attention_layers names a layer that is not there", config.where());
      out.dual_attention[layer.get<size_t>()] = true;
    }
  }
  return out;
}

MmDit::~MmDit() = default;

MmDit::MmDit(const MmDitConfig& c) : config_(c) {
  const std::int64_t width = c.width();
  auto pos_embed = register_module("pos_embed", std::make_shared<Names>());
  patches_ = pos_embed->register_module("proj", std::make_shared<Conv2d>(c.in_channels, width, c.patch_size, c.patch_size));
  // A buffer in diffusers, and in its checkpoints: no parameter that is counted or trained.
  position_table_ =
      pos_embed->register_parameter("pos_embed", torch::empty({1, c.pos_embed_max_size * c.pos_embed_max_size, width}, on_host()), /*requires_grad=*/false);
  time_text_embed = register_module("time_text_embed", std::make_shared<TimeTextEmbed>(width, c.pooled_projection_dim));
  context_embedder = register_module("context_embedder", std::make_shared<Linear>(c.joint_attention_dim, width));
  transformer_blocks = register_module("transformer_blocks", std::make_shared<List<JointBlock>>());
  for (std::int64_t i = 0; i < c.layers; ++i)
    transformer_blocks->add(JointBlock::Options{width, c.heads, c.head_width, c.qk_norm, c.dual_attention[static_cast<size_t>(i)], i + 1 == c.layers});
  norm_out = register_module("norm_out", std::make_shared<Modulation>(width, 2));
  proj_out = register_module("proj_out", std::make_shared<Linear>(width, c.patch_size * c.patch_size * c.out_channels));

  for (size_t i = 0; i < transformer_blocks->size(); ++i) {
    const std::string number = std::to_string(i);
    add_site(sites_, *(*transformer_blocks)[i].attn,
             {.path = "transformer_blocks." + number + ".attn",
              .kohya = "lora_unet_joint_blocks_" + number + "_context_block_attn_qkv",
              .block = "blocks",
              .original = {"joint_blocks." + number + ".context_block.attn.qkv"}});
    if (auto& again = (*transformer_blocks)[i].attn2) again->beside = static_cast<int>(i);
  }
  for (const auto& parameter : parameters()) sites_.denoiser_parameters += parameter.numel();
  sites_.denoiser_parameters -= position_table_.numel();
}

void MmDit::fill_position_table() {
  torch::NoGradGuard no_grad;
  const std::int64_t side = config_.pos_embed_max_size, quarter = config_.width() / 4;
  const std::int64_t drawn = config_.sample_size / config_.patch_size;  // patches a side that the model is trained on
  const double scale = static_cast<double>(drawn) / static_cast<double>(side);
  const torch::Tensor omega = at::pow(10000.0, torch::arange(quarter, on_host(torch::kFloat64)) / -static_cast<double>(quarter));
  const torch::Tensor angle = torch::outer(torch::arange(side, on_host(torch::kFloat64)) * scale, omega);
  const torch::Tensor one = torch::cat({angle.sin(), angle.cos()}, 1), ones = torch::ones({side, side, 1}, on_host(torch::kFloat64));
  position_table_.copy_(torch::cat({one.unsqueeze(0) * ones, one.unsqueeze(1) * ones}, 2).reshape_as(position_table_));
}

// The middle of the table, as large as the picture. Source: diffusers `PatchEmbed.cropped_pos_embed`.
torch::Tensor MmDit::positions(std::int64_t rows, std::int64_t columns) const {
  const std::int64_t side = config_.pos_embed_max_size;
  if (rows > side || columns > side)
    reject(
        "a picture of " + std::to_string(rows) + " x " + std::to_string(columns) + " patches exceeds the " + std::to_string(side) + " this model knows a side",
        "MM-DiT", "Choose a smaller size");
  return position_table_.view({1, side, side, -1}).narrow(1, (side - rows) / 2, rows).narrow(2, (side - columns) / 2, columns).reshape({1, rows * columns, -1});
}

torch::Tensor MmDit::forward(const torch::Tensor& sample, const torch::Tensor& timestep, const Conditioning& conditioning, Taps* taps) const {
  const std::int64_t p = config_.patch_size;
  if (sample.dim() != 4 || sample.size(1) != config_.in_channels || sample.size(2) % p != 0 || sample.size(3) % p != 0)
    reject("the latent must be [batch, " + std::to_string(config_.in_channels) + ", height, width] with sides that are multiples of " + std::to_string(p),
           "MM-DiT");
  const torch::Tensor &embedding = conditioning.embedding, &pooled = conditioning.pooled;
  if (embedding.dim() != 3 || embedding.size(2) != config_.joint_attention_dim || embedding.size(0) != sample.size(0))
    reject("the prompt embedding must be [" + std::to_string(sample.size(0)) + ", tokens, " + std::to_string(config_.joint_attention_dim) + "]", "MM-DiT");
  if (!pooled.defined() || pooled.dim() != 2 || pooled.size(1) != config_.pooled_projection_dim)
    reject("the pooled prompt must be [" + std::to_string(sample.size(0)) + ", " + std::to_string(config_.pooled_projection_dim) + "]", "MM-DiT");

  const std::int64_t rows = sample.size(2) / p, columns = sample.size(3) / p;
  torch::Tensor hidden = patches_->forward(sample).flatten(2).transpose(1, 2) + positions(rows, columns);
  const torch::Tensor time = time_text_embed->forward(timestep, pooled);
  torch::Tensor context = context_embedder->forward(embedding);
  for (const auto& block : *transformer_blocks) block->forward(hidden, context, time, nullptr, taps);
  const auto last = norm_out->forward(time);  // scale, shift
  hidden = proj_out->forward(modulated(hidden, last[1], last[0]));
  return hidden.view({sample.size(0), rows, columns, p, p, config_.out_channels})
      .permute({0, 5, 1, 3, 2, 4})
      .reshape({sample.size(0), config_.out_channels, rows * p, columns * p});
}

}  // namespace glyphscope
