#pragma once

#include <torch/nn/module.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "device/quantization.h"

namespace glyphscope {

/// Layers with uninitialised parameters: they are either loaded from a checkpoint or set by `initialize`. Parameter names
/// are PyTorch's, so that they mirror a checkpoint's keys.

/// Where 16 bits would lose too much: fp32; what is wider stays.
torch::Tensor widened(const torch::Tensor& x);

/// The activations that configurations name: "silu" and "gelu" (exact).
enum class Activation { silu, gelu };
torch::Tensor activate(Activation activation, const torch::Tensor& x);

/// What an adapter adds to what a layer computes: scale x b a x. Source: arXiv 2106.09685; as PEFT's `lora.Linear`.
struct LowRank {
  torch::Tensor a, b;  ///< [rank, in] and [out, rank], in the dtype in which they compute.
  double scale = 1;
  double dropout = 0;  ///< Share of x that is left out of the product, while gradients are recorded.
};

/// What an adapter that is no product beside a layer makes of the layer's own numbers. It is asked at each pass, so that they are changed nowhere.
struct WeightChange {
  virtual ~WeightChange() = default;
  /// own: the weight, or what a change before made of it -> the same shape and dtype.
  virtual torch::Tensor weight(const torch::Tensor& own) const = 0;
  /// own: undefined if the layer has no bias. weight: the layer's.
  virtual torch::Tensor bias(const torch::Tensor& own, const torch::Tensor& weight) const = 0;
};

/// A layer with a weight, which may be kept quantized: then its numbers are formed each time they compute, and nothing else holds them.
class WeightLayer : public torch::nn::Module {
 public:
  torch::Tensor weight;  ///< The parameter: its numbers, or what keeps them. Rows are its first side in both.

  /// kept: of the layer's shape, on its device. dtype: in which it is to compute.
  void keep_quantized(const QuantizedTensor& kept, torch::ScalarType dtype);
  const std::optional<Quantization>& quantization() const { return quantization_; }
  /// In which it computes.
  torch::ScalarType dtype() const { return quantization_ ? dtype_ : weight.scalar_type(); }
  std::vector<std::int64_t> shape() const;
  torch::Tensor numbers() const { return quantization_ ? dequantize(weight, *quantization_, dtype_) : weight; }
  /// The same; those of a quantized weight are overwritten by the next call on this thread, of any layer.
  torch::Tensor numbers_for_now() const { return quantization_ ? dequantize_for_now(weight, *quantization_, dtype_) : weight; }

 private:
  std::optional<Quantization> quantization_;
  torch::ScalarType dtype_ = torch::kFloat32;
};

/// For LoadOptions::keep_quantized: the module's layers keep what they are given, if they compute with it on that device. Biases and norms, which are small, do
/// not, and are loaded as numbers. The module must outlive it.
std::function<bool(const std::string& name, const QuantizedTensor& weight)> quantized_keeper(torch::nn::Module& module, torch::Device device,
                                                                                             torch::ScalarType dtype);

/// The numbers of a module's parameters, however they are kept.
std::int64_t count_parameters(const torch::nn::Module& module);

/// A layer whose numbers adapters may change.
class AdaptableLayer : public WeightLayer {
 public:
  torch::Tensor bias;
  /// Attached for a while by an AttachedLora, which takes them away again; in the order in which they act.
  std::vector<std::shared_ptr<const WeightChange>> changes;

 protected:
  torch::Tensor weight_now() const;
  torch::Tensor bias_now() const;
};

/// A layer that multiplies by a weight, and to which low-rank products may be attached.
class WeightedLayer : public AdaptableLayer {
 public:
  /// Attached for a while by an AttachedLora, which takes them away again; no part of the module's parameters.
  std::vector<std::shared_ptr<const LowRank>> adapters;

 protected:
  /// out: what the layer computes of x without adapters; multiply: (x, matrix) -> their product as the layer forms it.
  torch::Tensor adapted(const torch::Tensor& out, const torch::Tensor& x, torch::Tensor (*multiply)(const torch::Tensor&, const torch::Tensor&)) const;
};

class Linear : public WeightedLayer {
 public:
  Linear(std::int64_t in, std::int64_t out, bool with_bias = true);
  torch::Tensor forward(const torch::Tensor& x) const;

 private:
  torch::Tensor product(const torch::Tensor& x) const;
};

/// Low-rank products are for kernels of one point only.
class Conv2d : public WeightedLayer {
 public:
  Conv2d(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride = 1, std::int64_t padding = 0);
  torch::Tensor forward(const torch::Tensor& x) const;

 private:
  std::int64_t stride_, padding_;
};

/// What of a denoiser an adapter may change, by path: linear layers, and convolutions of one point, which are the same. Ours are of attention layers;
/// those of others also of feed-forward layers, modulations and the projections around them.
std::map<std::string, WeightedLayer*> adaptable_layers(const torch::nn::Module& denoiser);
/// All of its layers whose numbers an adapter may change: convolutions of any kernel and norms too.
std::map<std::string, AdaptableLayer*> changeable_layers(const torch::nn::Module& module);

class GroupNorm : public AdaptableLayer {
 public:
  GroupNorm(std::int64_t groups, std::int64_t channels, double eps);
  torch::Tensor forward(const torch::Tensor& x) const;

 private:
  std::int64_t groups_;
  double eps_;
};

class LayerNorm : public AdaptableLayer {
 public:
  explicit LayerNorm(std::int64_t width, double eps = 1e-5);
  torch::Tensor forward(const torch::Tensor& x) const;

 private:
  double eps_;
};

/// Root-mean-square norm without a mean or a bias. Mirrors diffusers' `RMSNorm` and transformers' `T5LayerNorm`: the mean of
/// squares is taken in fp32.
class RmsNorm : public AdaptableLayer {
 public:
  explicit RmsNorm(std::int64_t width, double eps = 1e-6);
  torch::Tensor forward(const torch::Tensor& x) const;

 private:
  double eps_;
};

class Embedding : public WeightLayer {
 public:
  Embedding(std::int64_t count, std::int64_t width);
  /// ids: [..] of int64 -> [.., width]
  torch::Tensor forward(const torch::Tensor& ids) const;
};

/// A module without parameters of its own, which stands for a level of a checkpoint's keys.
class Names : public torch::nn::Module {};

/// A list of equal modules, registered under "0", "1", .. as PyTorch's ModuleList does.
template <class M>
class List : public torch::nn::Module {
 public:
  template <class... Arguments>
  M& add(Arguments&&... arguments) {
    items_.push_back(register_module(std::to_string(items_.size()), std::make_shared<M>(std::forward<Arguments>(arguments)...)));
    return *items_.back();
  }
  size_t size() const { return items_.size(); }
  M& operator[](size_t i) const { return *items_.at(i); }
  auto begin() const { return items_.begin(); }
  auto end() const { return items_.end(); }

 private:
  std::vector<std::shared_ptr<M>> items_;
};

/// Sets every parameter as PyTorch's layers do by default (Kaiming-uniform weights, i.e. U(+-1/sqrt(fan in)) for weight
/// and bias; norms 1 and 0; embeddings N(0, 1)), drawing from `generator` in the order of registration. The module itself
/// must not be such a layer.
void initialize(torch::nn::Module& module, torch::Generator generator);

}  // namespace glyphscope
