#include "models/transformer.h"

#include <torch/types.h>

#include "models/block.h"

namespace glyphscope {

FeedForward::FeedForward(std::int64_t width, Activation activation) : activation_(activation) {
  auto net = register_module("net", std::make_shared<Names>());
  in_ = net->register_module("0", std::make_shared<Names>())
            ->register_module("proj", std::make_shared<Linear>(width, width * (activation == Activation::geglu ? 8 : 4)));
  out_ = net->register_module("2", std::make_shared<Linear>(width * 4, width));
}

torch::Tensor FeedForward::forward(const torch::Tensor& x) const {
  if (activation_ == Activation::gelu_tanh) return out_->forward(at::gelu(in_->forward(x), "tanh"));
  auto parts = in_->forward(x).chunk(2, -1);
  return out_->forward(parts[0] * at::gelu(parts[1]));
}

TransformerBlock::TransformerBlock(std::int64_t width, int heads, std::int64_t context_width, bool upcast) {
  Attention::Options options{.query_width = width, .context_width = 0, .heads = heads, .head_width = width / heads, .upcast = upcast};
  norm1 = register_module("norm1", std::make_shared<LayerNorm>(width));
  attn1 = register_module("attn1", std::make_shared<Attention>(options));
  options.context_width = context_width;
  norm2 = register_module("norm2", std::make_shared<LayerNorm>(width));
  attn2 = register_module("attn2", std::make_shared<Attention>(options));
  norm3 = register_module("norm3", std::make_shared<LayerNorm>(width));
  ff = register_module("ff", std::make_shared<FeedForward>(width));
}

torch::Tensor TransformerBlock::forward(const torch::Tensor& x, const PromptStates& prompt, Taps* taps) const {
  return run({x, prompt.embedding}, [this, mask = prompt.mask, taps](const Tensors& in) -> Tensors {
    torch::Tensor h = in[0] + attn1->forward(norm1->forward(in[0]), {}, taps);
    h = h + attn2->forward(norm2->forward(h), {in[1], mask}, taps);
    const torch::Tensor out = ff->forward(norm3->forward(h));
    return {h + (taps && attn2->site >= 0 ? taps->mlp(attn2->site, out) : out)};
  })[0];
}

SpatialTransformer::SpatialTransformer(std::int64_t channels, int heads, std::int64_t layers, std::int64_t context_width, std::int64_t groups, bool linear,
                                       bool upcast)
    : linear_(linear) {
  norm = register_module("norm", std::make_shared<GroupNorm>(groups, channels, 1e-6));
  if (linear_) {
    linear_in_ = register_module("proj_in", std::make_shared<Linear>(channels, channels));
  } else {
    conv_in_ = register_module("proj_in", std::make_shared<Conv2d>(channels, channels, 1));
  }
  transformer_blocks = register_module("transformer_blocks", std::make_shared<List<TransformerBlock>>());
  for (std::int64_t i = 0; i < layers; ++i) transformer_blocks->add(channels, heads, context_width, upcast);
  if (linear_) {
    linear_out_ = register_module("proj_out", std::make_shared<Linear>(channels, channels));
  } else {
    conv_out_ = register_module("proj_out", std::make_shared<Conv2d>(channels, channels, 1));
  }
}

torch::Tensor SpatialTransformer::forward(const torch::Tensor& x, const PromptStates& prompt, Taps* taps) const {
  const auto batch = x.size(0), channels = x.size(1), height = x.size(2), width = x.size(3);
  torch::Tensor h = norm->forward(x);
  if (!linear_) h = conv_in_->forward(h);
  h = h.permute({0, 2, 3, 1}).reshape({batch, height * width, channels});
  if (linear_) h = linear_in_->forward(h);
  for (const auto& block : *transformer_blocks) h = block->forward(h, prompt, taps);
  if (linear_) h = linear_out_->forward(h);
  h = h.view({batch, height, width, channels}).permute({0, 3, 1, 2});
  if (!linear_) h = conv_out_->forward(h);
  return x + h;
}

}  // namespace glyphscope
