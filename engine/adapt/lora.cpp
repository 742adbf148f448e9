#include "adapt/lora.h"

#include <torch/types.h>

#include <algorithm>

#include "core/error.h"

namespace glyphscope {

std::int64_t Lora::parameters() const {
  std::int64_t sum = 0;
  for (const auto& [path, layer] : layers) sum += layer.a.numel() + layer.b.numel();
  for (const auto& [path, change] : changes) sum += change.parameters();
  return sum;
}

Lora Lora::to(torch::Device device) const {
  Lora out = *this;
  for (auto& [path, layer] : out.layers) {
    layer.a = layer.a.to(device);
    layer.b = layer.b.to(device);
  }
  for (auto& [path, change] : out.changes) change = change.to(device);
  return out;
}

void LoraModule::add(Lora& lora, const std::string& before) {
  const auto own = [&](const std::string& path, const std::string& part, torch::Tensor& tensor) {
    std::string name = before + path;
    std::replace(name.begin(), name.end(), '.', '/');
    tensor = register_parameter(name + "|" + part, tensor);
  };
  for (auto& [path, layer] : lora.layers) {
    own(path, "a", layer.a);
    own(path, "b", layer.b);
  }
  for (auto& [path, change] : lora.changes) {
    for (auto& [part, tensor] : change.parts) own(path, part, tensor);
    if (change.magnitude.defined()) own(path, "magnitude", change.magnitude);
  }
}

namespace {

// The layers an adapter goes to, in the order of its own.
std::vector<WeightedLayer*> find_layers(const torch::nn::Module& denoiser, const Lora& lora) {
  const auto layers = adaptable_layers(denoiser);
  std::vector<WeightedLayer*> out;
  std::string wrong;
  for (const auto& [path, own] : lora.layers) {
    const auto found = layers.find(path);
    if (found == layers.end()) {
      wrong += "\n  " + path + ": the model has no such layer";
      continue;
    }
    const std::vector<std::int64_t> shape = found->second->shape();
    if (own.a.dim() != 2 || own.b.dim() != 2 || own.a.size(1) != shape[1] || own.b.size(0) != shape[0] || own.a.size(0) != own.b.size(1))
      wrong += "\n  " + path + c10::str(": the adapter is ", own.b.sizes(), " x ", own.a.sizes(), ", the layer ", at::IntArrayRef(shape).slice(0, 2));
    out.push_back(found->second);
  }
  if (!wrong.empty()) reject("the adapter does not fit the model:" + wrong, "", "It was made for another model");
  return out;
}

// The layers it changes; what each makes of its layer is tried, so that nothing is attached by half.
std::vector<AdaptableLayer*> find_changed(const torch::nn::Module& module, const Lora& lora) {
  const auto layers = changeable_layers(module);
  std::vector<AdaptableLayer*> out;
  std::string wrong;
  for (const auto& [path, change] : lora.changes) {
    const auto found = layers.find(path);
    if (found == layers.end()) {
      wrong += "\n  " + path + ": the model has no such layer";
      continue;
    }
    out.push_back(found->second);
    const AdaptableLayer& layer = *found->second;
    const LayerChange there = change.to(layer.weight.device());
    const auto tried = attempt([&] {
      there.weight(layer.numbers(), 1);
      there.changed_bias(layer.bias, layer.weight, 1);
      return true;
    });
    if (change.bias.defined() && dynamic_cast<const RmsNorm*>(&layer)) wrong += "\n  " + path + ": the layer has no bias";
    if (!tried) wrong += "\n  " + path + ": " + tried.error().what;
  }
  if (!wrong.empty()) reject("the adapter does not fit the model:" + wrong, "", "It was made for another model");
  return out;
}

double scale_of(const LoraLayer& layer) { return layer.alpha / static_cast<double>(layer.rank()); }

}  // namespace

AttachedLora::AttachedLora(const torch::nn::Module& denoiser, const Lora& lora, double strength, double dropout) {
  torch::NoGradGuard no_grad;
  const std::vector<WeightedLayer*> layers = find_layers(denoiser, lora);
  const std::vector<AdaptableLayer*> changed = find_changed(denoiser, lora);
  for (const auto& [path, change] : lora.changes) {
    AdaptableLayer* layer = changed[changes_.size()];
    changes_.push_back({path, layer, std::make_shared<ActiveChange>(change.to(layer->weight.device()).prepared(layer->shape()[0]), strength)});
    layer->changes.reserve(layer->changes.size() + 1);
  }
  for (const auto& [path, own] : lora.layers) {
    WeightedLayer* layer = layers[places_.size()];
    const torch::Device device = layer->weight.device();
    const auto dtype = own.a.requires_grad() ? own.a.scalar_type() : layer->dtype();
    places_.push_back(
        {path, layer, scale_of(own), std::make_shared<LowRank>(LowRank{own.a.to(device, dtype), own.b.to(device, dtype), scale_of(own) * strength, dropout})});
    layer->adapters.reserve(layer->adapters.size() + 1);
  }
  // From here on nothing can fail: an object that is not finished would leave its terms behind.
  for (const auto& place : places_) place.layer->adapters.push_back(place.term);
  for (const auto& change : changes_) change.layer->changes.push_back(change.active);
}

AttachedLora::~AttachedLora() {
  for (const auto& place : places_) {
    auto& list = place.layer->adapters;
    list.erase(std::find(list.begin(), list.end(), place.term));
  }
  for (const auto& change : changes_) {
    auto& list = change.layer->changes;
    list.erase(std::find(list.begin(), list.end(), change.active));
  }
}

void AttachedLora::set_strengths(const std::map<std::string, double>& strengths) {
  for (const auto& [below, strength] : strengths) {
    for (auto& place : places_)
      if (place.path.starts_with(below + ".")) place.term->scale = place.scale * strength;
    for (auto& change : changes_)
      if (change.path.starts_with(below + ".")) change.active->strength = strength;
  }
}

void AttachedLora::set_strength(double strength) {
  for (auto& place : places_) place.term->scale = place.scale * strength;
  for (auto& change : changes_) change.active->strength = strength;
}

}  // namespace glyphscope
