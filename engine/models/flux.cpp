#include "models/flux.h"

#include <torch/types.h>

#include <numeric>

#include "core/error.h"
#include "device/placement.h"
#include "models/block.h"
#include "models/joint_block.h"

namespace glyphscope {

FluxConfig FluxConfig::parse(const Config& config) {
  FluxConfig out;
  config.require("patch_size", 1);
  out.channels = config.size("in_channels", 64, 4, 4096);
  if (out.channels % 4 != 0) reject("in_channels is " + std::to_string(out.channels) + ", which is no 2 x 2 points", config.where());
  if (const std::int64_t given = config.integer("out_channels", out.channels); given != out.channels)
    reject("out_channels is " + std::to_string(given) + ", in_channels " + std::to_string(out.channels), config.where(),
           "Models that also read a picture are not supported");
  out.layers = config.size("num_layers", 19, 0, 256);
  out.single_layers = config.size("num_single_layers", 38, 0, 256);
  out.heads = config.size("num_attention_heads", 24, 1, 1024);
  out.head_width = config.size("attention_head_dim", 128, 1, 1024);
  out.joint_attention_dim = config.size("joint_attention_dim", 4096, 1, 65536);
  out.pooled_projection_dim = config.size("pooled_projection_dim", 768, 1, 65536);
  out.guidance = config.boolean("guidance_embeds", false);
  if (config.has("axes_dims_rope")) out.axes = config.integers("axes_dims_rope", 3, 0);
  for (auto axis : out.axes)
    if (axis < 0 || axis % 2 != 0) reject("axes_dims_rope has " + std::to_string(axis) + ", an even number was expected", config.where());
  if (std::accumulate(out.axes.begin(), out.axes.end(), std::int64_t{0}) != out.head_width)
    reject("axes_dims_rope do not add up to attention_head_dim, " + std::to_string(out.head_width), config.where());
  return out;
}

/// Picture and prompt in one stream; attention and feed-forward side by side. Mirrors diffusers' `FluxSingleTransformerBlock`.
class FluxSingleBlock : public Block {
 public:
  explicit FluxSingleBlock(const FluxConfig& c) {
    constexpr std::int64_t kWider = 4;  // mlp_ratio
    const std::int64_t width = c.width();
    norm = register_module("norm", std::make_shared<Modulation>(width, 3));
    proj_mlp = register_module("proj_mlp", std::make_shared<Linear>(width, kWider * width));
    proj_out = register_module("proj_out", std::make_shared<Linear>((1 + kWider) * width, width));
    const Attention::Options options{
        .query_width = width, .heads = static_cast<int>(c.heads), .head_width = c.head_width, .qkv_bias = true, .no_output = true, .qk_norm = true};
    attn = register_module("attn", std::make_shared<Attention>(options));
  }

  /// both: the prompt's `tokens` tokens, then the picture's, changed in place.
  void forward(torch::Tensor& both, std::int64_t tokens, const torch::Tensor& time, const Rotary& rotary, Taps* taps) const {
    both = run({both, time}, [this, tokens, rotary, taps](const Tensors& in) -> Tensors {
      const auto how = norm->forward(in[1]);  // shift, scale, gate
      const torch::Tensor x = modulated(in[0], how[0], how[1]);
      const torch::Tensor attended = attn->forward_single({x.slice(1, 0, tokens)}, nullptr, x.slice(1, tokens), &rotary, taps);
      const torch::Tensor mlp = at::gelu(proj_mlp->forward(x), "tanh");
      return {in[0] + how[2] * proj_out->forward(at::cat({attended, taps && attn->site >= 0 ? taps->mlp(attn->site, mlp) : mlp}, 2))};
    })[0];
  }

  std::shared_ptr<Attention> attn;

 private:
  std::shared_ptr<Modulation> norm;
  std::shared_ptr<Linear> proj_mlp, proj_out;
};

Flux::~Flux() = default;

Flux::Flux(const FluxConfig& c) : config_(c) {
  const std::int64_t width = c.width();
  time_text_embed = register_module("time_text_embed", std::make_shared<TimeTextEmbed>(width, c.pooled_projection_dim, c.guidance));
  context_embedder = register_module("context_embedder", std::make_shared<Linear>(c.joint_attention_dim, width));
  x_embedder = register_module("x_embedder", std::make_shared<Linear>(c.channels, width));
  transformer_blocks = register_module("transformer_blocks", std::make_shared<List<JointBlock>>());
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const JointBlock::Options options{.width = width, .heads = c.heads, .head_width = c.head_width, .qk_norm = true};
    transformer_blocks->add(options);
  }
  single_transformer_blocks = register_module("single_transformer_blocks", std::make_shared<List<FluxSingleBlock>>());
  for (std::int64_t i = 0; i < c.single_layers; ++i) single_transformer_blocks->add(c);
  norm_out = register_module("norm_out", std::make_shared<Modulation>(width, 2));
  proj_out = register_module("proj_out", std::make_shared<Linear>(width, c.channels));

  for (size_t i = 0; i < transformer_blocks->size(); ++i) {
    const std::string number = std::to_string(i);
    add_site(sites_, *(*transformer_blocks)[i].attn,
             {.path = "transformer_blocks." + number + ".attn",
              .kohya = "lora_unet_double_blocks_" + number + "_txt_attn_qkv",
              .block = "double",
              .original = {"double_blocks." + number + ".txt_attn.qkv"}});
  }
  for (size_t i = 0; i < single_transformer_blocks->size(); ++i) {
    const std::string number = std::to_string(i);
    add_site(sites_, *(*single_transformer_blocks)[i].attn,
             {.path = "single_transformer_blocks." + number + ".attn",
              .kohya = "lora_unet_single_blocks_" + number + "_linear1",
              .block = "single",
              .original = {"single_blocks." + number + ".linear1"}});
  }
  for (const auto& parameter : parameters()) sites_.denoiser_parameters += parameter.numel();
}

// Source: diffusers `FluxPosEmbed`. The first axis, the picture's number, is 0 everywhere.
Rotary Flux::rotary(std::int64_t rows, std::int64_t columns, torch::Device device) const {
  const std::lock_guard lock(rotary_.mutex);
  if (rotary_.rows == rows && rotary_.columns == columns && rotary_.tables.cosine.device() == device) return rotary_.tables;
  const torch::InferenceMode also_for_training(false);
  constexpr double kTheta = 10000;
  const std::int64_t count = rows * columns;
  std::vector<torch::Tensor> angles;
  for (size_t axis = 0; axis < config_.axes.size(); ++axis) {
    const std::int64_t width = config_.axes[axis];
    const torch::Tensor frequency =
        at::pow(kTheta, torch::arange(0, width, 2, on_host(torch::kFloat64)) / -static_cast<double>(std::max<std::int64_t>(width, 1)));
    torch::Tensor place = torch::zeros({count}, on_host(torch::kFloat64));
    if (axis == 1) place = torch::arange(rows, on_host(torch::kFloat64)).repeat_interleave(columns);
    if (axis == 2) place = torch::arange(columns, on_host(torch::kFloat64)).repeat({rows});
    angles.push_back(torch::outer(place, frequency).repeat_interleave(2, 1));
  }
  const torch::Tensor angle = torch::cat(angles, 1);
  Rotary fresh{angle.cos().to(device, torch::kFloat32), angle.sin().to(device, torch::kFloat32)};
  rotary_.rows = rows;
  rotary_.columns = columns;
  rotary_.tables = std::move(fresh);
  return rotary_.tables;
}

torch::Tensor Flux::forward(const torch::Tensor& sample, const torch::Tensor& timestep, const Conditioning& conditioning, Taps* taps) const {
  if (sample.dim() != 4 || sample.size(1) != config_.latent_channels() || sample.size(2) % 2 != 0 || sample.size(3) % 2 != 0)
    reject("the latent must be [batch, " + std::to_string(config_.latent_channels()) + ", height, width] with even sides", "FLUX");
  const torch::Tensor &embedding = conditioning.embedding, &pooled = conditioning.pooled, &guidance = conditioning.guidance;
  if (embedding.dim() != 3 || embedding.size(2) != config_.joint_attention_dim || embedding.size(0) != sample.size(0))
    reject("the prompt embedding must be [" + std::to_string(sample.size(0)) + ", tokens, " + std::to_string(config_.joint_attention_dim) + "]", "FLUX");
  if (!pooled.defined() || pooled.dim() != 2 || pooled.size(1) != config_.pooled_projection_dim)
    reject("the pooled prompt must be [" + std::to_string(sample.size(0)) + ", " + std::to_string(config_.pooled_projection_dim) + "]", "FLUX");
  if (config_.guidance && (!guidance.defined() || guidance.sizes() != timestep.sizes()))
    reject("the guidance must be [" + std::to_string(sample.size(0)) + "]", "FLUX");

  const auto dtype = proj_out->dtype();
  const std::int64_t batch = sample.size(0), rows = sample.size(2) / 2, columns = sample.size(3) / 2, tokens = embedding.size(1);
  const Rotary turn = rotary(rows, columns, sample.device());
  // A token holds a channel's 2 x 2 points side by side. Source: diffusers `FluxPipeline._pack_latents`.
  torch::Tensor hidden =
      x_embedder->forward(sample.view({batch, -1, rows, 2, columns, 2}).permute({0, 2, 4, 1, 3, 5}).reshape({batch, rows * columns, config_.channels}));
  const torch::Tensor time = time_text_embed->forward(timestep, pooled, guidance);
  torch::Tensor context = context_embedder->forward(embedding);
  // As the reference: what overflows in fp16 is held at its largest numbers.
  auto held = [&](torch::Tensor& x) {
    if (dtype == torch::kHalf) x = x.clamp(-65504, 65504);
  };
  for (const auto& block : *transformer_blocks) {
    block->forward(hidden, context, time, &turn, taps);
    held(context);
  }
  torch::Tensor both = at::cat({context, hidden}, 1);
  for (const auto& block : *single_transformer_blocks) {
    block->forward(both, tokens, time, turn, taps);
    held(both);
  }
  const auto last = norm_out->forward(time);  // scale, shift
  hidden = proj_out->forward(modulated(both.slice(1, tokens), last[1], last[0]));
  return hidden.view({batch, rows, columns, -1, 2, 2}).permute({0, 3, 1, 4, 2, 5}).reshape(sample.sizes());
}

}  // namespace glyphscope
