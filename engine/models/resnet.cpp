#include "models/resnet.h"

#include <torch/torch.h>

namespace glyphscope {

ResnetBlock2D::ResnetBlock2D(std::int64_t in, std::int64_t out, std::int64_t time_width, std::int64_t groups, double eps) {
  norm1 = register_module("norm1", std::make_shared<GroupNorm>(groups, in, eps));
  conv1 = register_module("conv1", std::make_shared<Conv2d>(in, out, 3, 1, 1));
  if (time_width > 0) time_emb_proj = register_module("time_emb_proj", std::make_shared<Linear>(time_width, out));
  norm2 = register_module("norm2", std::make_shared<GroupNorm>(groups, out, eps));
  conv2 = register_module("conv2", std::make_shared<Conv2d>(out, out, 3, 1, 1));
  if (in != out) conv_shortcut = register_module("conv_shortcut", std::make_shared<Conv2d>(in, out, 1));
}

torch::Tensor ResnetBlock2D::forward(torch::Tensor x, const torch::Tensor& time) const {
  torch::Tensor h = conv1->forward(at::silu(norm1->forward(x)));
  if (time_emb_proj) h = h + time_emb_proj->forward(at::silu(time)).unsqueeze(-1).unsqueeze(-1);
  h = conv2->forward(at::silu(norm2->forward(h)));
  if (conv_shortcut) x = conv_shortcut->forward(x);
  return x + h;
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
