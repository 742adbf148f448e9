#include "models/layers.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "device/placement.h"
#include "models/block.h"

namespace glyphscope {

torch::Tensor widened(const torch::Tensor& x) { return x.element_size() < 4 ? x.to(torch::kFloat32) : x; }

torch::Tensor activate(Activation activation, const torch::Tensor& x) { return activation == Activation::silu ? at::silu(x) : at::gelu(x); }

void WeightLayer::keep_quantized(const QuantizedTensor& kept, torch::ScalarType dtype) {
  quantization_ = kept.how;
  dtype_ = dtype;
  // Where the weight goes its scale goes too.
  if (quantization_->scale.defined()) quantization_->scale = register_buffer("weight_scale", quantization_->scale);
  weight.set_requires_grad(false);
  weight.set_data(kept.stored);
}

std::vector<std::int64_t> WeightLayer::shape() const { return quantization_ ? QuantizedTensor{weight, *quantization_}.shape() : weight.sizes().vec(); }

std::function<bool(const std::string& name, const QuantizedTensor& weight)> quantized_keeper(torch::nn::Module& module, torch::Device device,
                                                                                             torch::ScalarType dtype) {
  std::map<std::string, WeightLayer*> layers;
  for (const auto& item : module.named_modules(/*name_prefix=*/"", /*include_self=*/false))
    if (auto* layer = dynamic_cast<WeightLayer*>(item.value().get())) layers[item.key() + ".weight"] = layer;
  return [layers = std::move(layers), device, dtype](const std::string& name, const QuantizedTensor& weight) {
    const auto found = layers.find(name);
    if (found == layers.end() || weight.stored.dim() < 2 || !can_dequantize(weight.how.type, device.type())) return false;
    found->second->keep_quantized(weight, dtype);
    return true;
  };
}

std::int64_t count_parameters(const torch::nn::Module& module) {
  std::int64_t out = 0;
  for (const auto& parameter : module.parameters()) out += parameter.numel();
  for (const auto& one : module.modules(/*include_self=*/false))
    if (const auto* layer = dynamic_cast<const WeightLayer*>(one.get()); layer && layer->quantization())
      out += c10::multiply_integers(layer->shape()) - layer->weight.numel();
  return out;
}

Linear::Linear(std::int64_t in, std::int64_t out, bool with_bias) {
  weight = register_parameter("weight", torch::empty({out, in}, on_host()));
  if (with_bias) bias = register_parameter("bias", torch::empty({out}, on_host()));
}

namespace {

using Multiply = torch::Tensor (*)(const torch::Tensor&, const torch::Tensor&);
torch::Tensor multiply_rows(const torch::Tensor& x, const torch::Tensor& matrix) { return at::linear(x, matrix); }

// What of x goes through an adapter: few numbers, which is why the scale goes here.
torch::Tensor narrowed(const LowRank& adapter, const torch::Tensor& x, Multiply multiply) {
  const torch::Tensor own = x.to(adapter.a.scalar_type());
  return multiply(adapter.dropout > 0 && learning() ? at::dropout(own, adapter.dropout, /*train=*/true) : own, adapter.a) * adapter.scale;
}

}  // namespace

torch::Tensor AdaptableLayer::weight_now() const {
  torch::Tensor out = numbers();
  for (const auto& change : changes) out = change->weight(out);
  return out;
}

torch::Tensor AdaptableLayer::bias_now() const {
  torch::Tensor out = bias;
  for (const auto& change : changes) out = change->bias(out, weight);
  return out.defined() ? out.to(dtype()) : out;
}

torch::Tensor WeightedLayer::adapted(const torch::Tensor& out, const torch::Tensor& x, Multiply multiply) const {
  torch::Tensor sum = out;
  for (const auto& one : adapters) sum = sum + multiply(narrowed(*one, x, multiply), one->b);
  return sum.to(out.scalar_type());
}

namespace {

// x times the rows of a quantized weight. Backward forms its numbers again, in place of keeping them.
struct OfLayer : torch::CustomClassHolder {
  explicit OfLayer(const Linear* layer) : layer(layer) {}
  const Linear* layer;
};
class QuantizedProduct : public torch::autograd::Function<QuantizedProduct> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& x, const torch::Tensor& bias, const Linear* layer) {
    context->saved_data["layer"] = c10::IValue::make_capsule(c10::make_intrusive<OfLayer>(layer));
    return at::linear(x, layer->numbers_for_now(), bias);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, const torch::autograd::variable_list& gradients) {
    const auto holder = context->saved_data["layer"].toCapsule();
    return {gradients[0].matmul(static_cast<const OfLayer&>(*holder).layer->numbers_for_now()), {}, {}};
  }
};

}  // namespace

torch::Tensor Linear::product(const torch::Tensor& x) const {
  if (quantization() && changes.empty() && torch::GradMode::is_enabled() && x.requires_grad()) return QuantizedProduct::apply(x, bias, this);
  if (quantization() && changes.empty()) return at::linear(x, numbers_for_now(), bias);
  return at::linear(x, weight_now(), bias_now());
}

torch::Tensor Linear::forward(const torch::Tensor& x) const {
  if (adapters.empty()) return product(x);
  const bool alike = std::all_of(adapters.begin(), adapters.end(), [&](const auto& one) { return one->a.scalar_type() == x.scalar_type(); });
  if (!alike) return adapted(product(x), x, multiply_rows);
  // Adapters are added to the product where it lies, which nothing else reads.
  const torch::Tensor rows = x.reshape({-1, x.size(-1)});
  torch::Tensor out = product(rows);
  for (const auto& one : adapters) out.addmm_(narrowed(*one, rows, multiply_rows), one->b.t());
  std::vector<std::int64_t> sizes = x.sizes().vec();
  sizes.back() = weight.size(0);
  return out.view(sizes);
}

Conv2d::Conv2d(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride, std::int64_t padding) : stride_(stride), padding_(padding) {
  weight = register_parameter("weight", torch::empty({out, in, kernel, kernel}, on_host()));
  bias = register_parameter("bias", torch::empty({out}, on_host()));
}

torch::Tensor Conv2d::forward(const torch::Tensor& x) const {
  torch::Tensor out = at::conv2d(x, weight_now(), bias_now(), stride_, padding_);
  if (adapters.empty()) return out;
  return adapted(out, x, [](const torch::Tensor& own, const torch::Tensor& matrix) { return at::conv2d(own, matrix.unsqueeze(-1).unsqueeze(-1)); });
}

std::map<std::string, WeightedLayer*> adaptable_layers(const torch::nn::Module& denoiser) {
  std::map<std::string, WeightedLayer*> out;
  for (const auto& item : denoiser.named_modules(/*name_prefix=*/"", /*include_self=*/false))
    if (auto* layer = dynamic_cast<WeightedLayer*>(item.value().get()); layer && layer->weight[0].numel() == layer->weight.size(1)) out[item.key()] = layer;
  return out;
}

std::map<std::string, AdaptableLayer*> changeable_layers(const torch::nn::Module& module) {
  std::map<std::string, AdaptableLayer*> out;
  for (const auto& item : module.named_modules(/*name_prefix=*/"", /*include_self=*/false))
    if (auto* layer = dynamic_cast<AdaptableLayer*>(item.value().get())) out[item.key()] = layer;
  return out;
}

GroupNorm::GroupNorm(std::int64_t groups, std::int64_t channels, double eps) : groups_(groups), eps_(eps) {
  weight = register_parameter("weight", torch::empty({channels}, on_host()));
  bias = register_parameter("bias", torch::empty({channels}, on_host()));
}

torch::Tensor GroupNorm::forward(const torch::Tensor& x) const { return at::group_norm(x, groups_, weight_now(), bias_now(), eps_); }

LayerNorm::LayerNorm(std::int64_t width, double eps) : eps_(eps) {
  weight = register_parameter("weight", torch::empty({width}, on_host()));
  bias = register_parameter("bias", torch::empty({width}, on_host()));
}

torch::Tensor LayerNorm::forward(const torch::Tensor& x) const { return at::layer_norm(x, {weight.size(0)}, weight_now(), bias_now(), eps_); }

RmsNorm::RmsNorm(std::int64_t width, double eps) : eps_(eps) { weight = register_parameter("weight", torch::empty({width}, on_host())); }

torch::Tensor RmsNorm::forward(const torch::Tensor& x) const {
  const torch::Tensor wide = widened(x);
  return weight_now() * (wide * at::rsqrt(wide.pow(2).mean(-1, true) + eps_)).to(dtype());
}

Embedding::Embedding(std::int64_t count, std::int64_t width) { weight = register_parameter("weight", torch::empty({count, width}, on_host())); }

torch::Tensor Embedding::forward(const torch::Tensor& ids) const {
  if (!quantization()) return at::embedding(weight, ids);
  std::vector<std::int64_t> sizes = ids.sizes().vec();
  sizes.push_back(-1);
  return dequantize_rows(weight, *quantization(), ids.flatten(), dtype()).view(sizes);
}

void initialize(torch::nn::Module& module, torch::Generator generator) {
  torch::NoGradGuard no_grad;
  for (auto& child : module.modules(/*include_self=*/false)) {
    auto uniform = [&](torch::Tensor& weight, torch::Tensor& bias) {
      const double bound = 1.0 / std::sqrt(static_cast<double>(weight[0].numel()));
      weight.uniform_(-bound, bound, generator);
      if (bias.defined()) bias.uniform_(-bound, bound, generator);
    };
    if (auto* linear = child->as<Linear>()) uniform(linear->weight, linear->bias);
    if (auto* conv = child->as<Conv2d>()) uniform(conv->weight, conv->bias);
    if (auto* norm = child->as<GroupNorm>()) norm->weight.fill_(1), norm->bias.zero_();
    if (auto* norm = child->as<LayerNorm>()) norm->weight.fill_(1), norm->bias.zero_();
    if (auto* norm = child->as<RmsNorm>()) norm->weight.fill_(1);
    if (auto* embedding = child->as<Embedding>()) embedding->weight.normal_(0, 1, generator);
  }
}

}  // namespace glyphscope
