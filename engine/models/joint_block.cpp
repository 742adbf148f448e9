#include "models/joint_block.h"

#include <torch/torch.h>

namespace glyphscope {

Modulation::Modulation(std::int64_t width, std::int64_t count) : count_(count) {
  linear = register_module("linear", std::make_shared<Linear>(width, width * count));
}

std::vector<torch::Tensor> Modulation::forward(const torch::Tensor& time) const { return linear->forward(at::silu(time)).unsqueeze(1).chunk(count_, -1); }

torch::Tensor modulated(const torch::Tensor& x, const torch::Tensor& shift, const torch::Tensor& scale) {
  return at::layer_norm(x, {x.size(-1)}, {}, {}, 1e-6) * (1 + scale) + shift;
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
  const auto own = norm1->forward(time), other = norm1_context->forward(time);
  // AdaLayerNormContinuous, in the last block, gives scale before shift.
  const torch::Tensor normed_context = last_ ? modulated(context, other[1], other[0]) : modulated(context, other[0], other[1]);
  const Attention::Streams attended = attn->forward_joint(modulated(hidden, own[0], own[1]), normed_context, rotary, taps);
  const torch::Tensor again = attn2 ? own[8] * attn2->forward(modulated(hidden, own[6], own[7]), {}, taps) : torch::Tensor();
  hidden = hidden + own[2] * attended.hidden;
  if (attn2) hidden = hidden + again;
  hidden = hidden + own[5] * ff->forward(modulated(hidden, own[3], own[4]));
  if (last_) return;
  context = context + other[2] * attended.context;
  context = context + other[5] * ff_context->forward(modulated(context, other[3], other[4]));
}

}  // namespace glyphscope
