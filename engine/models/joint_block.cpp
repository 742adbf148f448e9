#include "models/joint_block.h"

#include <torch/types.h>

#include <optional>

#include "models/block.h"

#include "models/conditioning.h"

namespace glyphscope {
namespace {
constexpr std::int64_t kSinusoids = 256;
}

TimeTextEmbed::TimeTextEmbed(std::int64_t width, std::int64_t pooled_width, bool with_guidance) {
  auto embedder = [&](const char* name, std::int64_t in) {
    auto names = register_module(name, std::make_shared<Names>());
    return Embedder{names->register_module("linear_1", std::make_shared<Linear>(in, width)),
                    names->register_module("linear_2", std::make_shared<Linear>(width, width))};
  };
  timestep_ = embedder("timestep_embedder", kSinusoids);
  if (with_guidance) guidance_ = embedder("guidance_embedder", kSinusoids);
  text_ = embedder("text_embedder", pooled_width);
}

torch::Tensor TimeTextEmbed::Embedder::forward(const torch::Tensor& x) const { return second->forward(at::silu(first->forward(x.to(first->dtype())))); }

torch::Tensor TimeTextEmbed::forward(const torch::Tensor& timestep, const torch::Tensor& pooled, const torch::Tensor& guidance) const {
  auto sinusoids = [](const torch::Tensor& number) { return timestep_embedding(number, kSinusoids, true, 0); };
  torch::Tensor out = timestep_.forward(sinusoids(timestep));
  if (guidance_.first) out = out + guidance_.forward(sinusoids(guidance * 1000));
  return out + text_.forward(pooled);
}

Modulation::Modulation(std::int64_t width, std::int64_t count) : count_(count) {
  linear = register_module("linear", std::make_shared<Linear>(width, width * count));
}

std::vector<torch::Tensor> Modulation::forward(const torch::Tensor& time) const { return linear->forward(at::silu(time)).unsqueeze(1).chunk(count_, -1); }

torch::Tensor modulated(const torch::Tensor& x, const torch::Tensor& shift, const torch::Tensor& scale) {
  return at::addcmul(shift, at::layer_norm(x, {x.size(-1)}, {}, {}, 1e-6), 1 + scale);
}

JointBlock::JointBlock(const Options& o) : last_(o.last) {
  const std::int64_t width = o.width;
  norm1 = register_module("norm1", std::make_shared<Modulation>(width, o.dual ? 9 : 6));
  norm1_context = register_module("norm1_context", std::make_shared<Modulation>(width, o.last ? 2 : 6));
  Attention::Options options{.query_width = width,
                             .heads = static_cast<int>(o.heads),
                             .head_width = o.head_width,
                             .qkv_bias = true,
                             .joint_width = width,
                             .context_ends = o.last,
                             .qk_norm = o.qk_norm};
  attn = register_module("attn", std::make_shared<Attention>(options));
  options.joint_width = 0;
  if (o.dual) attn2 = register_module("attn2", std::make_shared<Attention>(options));
  ff = register_module("ff", std::make_shared<FeedForward>(width, FeedForward::Activation::gelu_tanh));
  if (!o.last) ff_context = register_module("ff_context", std::make_shared<FeedForward>(width, FeedForward::Activation::gelu_tanh));
}

void JointBlock::forward(torch::Tensor& hidden, torch::Tensor& context, const torch::Tensor& time, const Rotary* rotary, Taps* taps) const {
  const std::optional<Rotary> turn = rotary ? std::optional(*rotary) : std::nullopt;
  const Tensors out = run({hidden, context, time}, [this, turn, taps](const Tensors& in) -> Tensors {
    Tensors streams{in[0], in[1]};
    compute(streams[0], streams[1], in[2], turn ? &*turn : nullptr, taps);
    return streams;
  });
  hidden = out[0];
  context = out[1];
}

void JointBlock::compute(torch::Tensor& hidden, torch::Tensor& context, const torch::Tensor& time, const Rotary* rotary, Taps* taps) const {
  const auto own = norm1->forward(time), other = norm1_context->forward(time);
  // AdaLayerNormContinuous, in the last block, gives scale before shift.
  const torch::Tensor normed_context = last_ ? modulated(context, other[1], other[0]) : modulated(context, other[0], other[1]);
  const Attention::Streams attended = attn->forward_joint(modulated(hidden, own[0], own[1]), {normed_context}, rotary, taps);
  const torch::Tensor again = attn2 ? attn2->forward(modulated(hidden, own[6], own[7]), {}, taps) : torch::Tensor();
  hidden = at::addcmul(hidden, own[2], attended.hidden);
  if (attn2) hidden = at::addcmul(hidden, own[8], again);
  const auto mlp = [&](const FeedForward& layer, const torch::Tensor& x) {
    const torch::Tensor out = layer.forward(x);
    return taps && attn->site >= 0 ? taps->mlp(attn->site, out) : out;
  };
  hidden = at::addcmul(hidden, own[5], mlp(*ff, modulated(hidden, own[3], own[4])));
  if (last_) return;
  context = at::addcmul(context, other[2], attended.context);
  context = at::addcmul(context, other[5], mlp(*ff_context, modulated(context, other[3], other[4])));
}

}  // namespace glyphscope
