#include "models/resnet.h"

#include <torch/types.h>

#include "models/block.h"

namespace glyphscope {

ResnetBlock2D::ResnetBlock2D(std::int64_t in, std::int64_t out, const Options& options) : options_(options) {
  norm1 = register_module("norm1", std::make_shared<GroupNorm>(options.groups, in, options.eps));
  conv1 = register_module("conv1", std::make_shared<Conv2d>(in, out, 3, 1, 1));
  if (options.time_width > 0)
    time_emb_proj = register_module("time_emb_proj", std::make_shared<Linear>(options.time_width, options.scale_shift ? 2 * out : out));
  norm2 = register_module("norm2", std::make_shared<GroupNorm>(options.groups, out, options.eps));
  conv2 = register_module("conv2", std::make_shared<Conv2d>(out, out, 3, 1, 1));
  if (in != out) conv_shortcut = register_module("conv_shortcut", std::make_shared<Conv2d>(in, out, 1));
}

torch::Tensor ResnetBlock2D::resampled(const torch::Tensor& x) const {
  switch (options_.resample) {
    case Resample::up:
      return at::upsample_nearest2d(x, {x.size(2) * 2, x.size(3) * 2});
    case Resample::down:
      return at::avg_pool2d(x, 2, 2);
    default:
      return x;
  }
}

torch::Tensor ResnetBlock2D::forward(const torch::Tensor& x, const torch::Tensor& time) const {
  if (!time.defined()) return compute(x, time);
  return run({x, time}, [this](const Tensors& in) -> Tensors { return {compute(in[0], in[1])}; })[0];
}

torch::Tensor ResnetBlock2D::compute(torch::Tensor x, const torch::Tensor& time) const {
  auto act = [&](const torch::Tensor& t) { return activate(options_.activation, t); };
  torch::Tensor h = conv1->forward(resampled(act(norm1->forward(x))));
  torch::Tensor shift;
  if (time_emb_proj) shift = time_emb_proj->forward(options_.skip_time_act ? time : act(time)).unsqueeze(-1).unsqueeze(-1);
  if (shift.defined() && options_.scale_shift) {
    const auto parts = shift.chunk(2, 1);
    h = norm2->forward(h) * (1 + parts[0]) + parts[1];
  } else {
    h = norm2->forward(shift.defined() ? h + shift : h);
  }
  h = conv2->forward(act(h));
  x = resampled(x);
  if (conv_shortcut) x = conv_shortcut->forward(x);
  return options_.output_scale == 1 ? x + h : (x + h) / options_.output_scale;
}

Downsample2D::Downsample2D(std::int64_t channels, std::int64_t padding) : asymmetric_(padding == 0) {
  conv = register_module("conv", std::make_shared<Conv2d>(channels, channels, 3, 2, padding));
}

torch::Tensor Downsample2D::forward(torch::Tensor x) const {
  if (asymmetric_) x = at::constant_pad_nd(x, {0, 1, 0, 1});
  return conv->forward(x);
}

Upsample2D::Upsample2D(std::int64_t channels) { conv = register_module("conv", std::make_shared<Conv2d>(channels, channels, 3, 1, 1)); }

torch::Tensor Upsample2D::forward(const torch::Tensor& x, at::OptionalIntArrayRef size) const {
  const std::vector<std::int64_t> doubled{x.size(2) * 2, x.size(3) * 2};
  return conv->forward(at::upsample_nearest2d(x, size ? *size : at::IntArrayRef(doubled)));
}

}  // namespace glyphscope
