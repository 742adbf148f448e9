#include "models/block.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include <algorithm>
#include <mutex>

#include "models/block_stream.h"
#include "models/layers.h"

namespace glyphscope {

namespace {

thread_local bool active = false;
thread_local bool recomputed_later = false;

// While a block is run whose gradients come from a second run.
struct Learning {
  Learning() { recomputed_later = true; }
  ~Learning() { recomputed_later = false; }
  Learning(const Learning&) = delete;
  Learning& operator=(const Learning&) = delete;
};

// What a block does, where its weights come from, and the random numbers that it began with, so that dropout is the same again.
struct Kept : torch::CustomClassHolder {
  std::function<Tensors(const Tensors&)> compute;
  BlockStream* stream = nullptr;
  size_t number = 0;
  size_t inputs = 0;
  at::Generator generator;
  at::Tensor state;
};

at::Tensor generator_state(at::Generator generator) {
  const std::lock_guard lock(generator.mutex());
  return generator.get_state();
}

void set_generator_state(at::Generator generator, const at::Tensor& state) {
  const std::lock_guard lock(generator.mutex());
  generator.set_state(state);
}

struct Recomputed : torch::autograd::Function<Recomputed> {
  static Tensors forward(torch::autograd::AutogradContext* context, const c10::intrusive_ptr<Kept>& block, at::TensorList inputs, at::TensorList trained) {
    Tensors kept = inputs.vec();
    kept.insert(kept.end(), trained.begin(), trained.end());
    context->save_for_backward(std::move(kept));
    context->saved_data["block"] = c10::IValue::make_capsule(block);
    block->inputs = inputs.size();
    block->state = generator_state(block->generator);
    const Learning learning;
    return block->compute(inputs.vec());
  }

  static Tensors backward(torch::autograd::AutogradContext* context, const Tensors& gradients) {
    const auto holder = context->saved_data["block"].toCapsule();
    const Kept& block = static_cast<const Kept&>(*holder);
    const BlockStream::Visit here(block.stream, block.number);
    const Tensors kept = context->get_saved_variables();
    // The same computation once more, now recorded, from inputs that are cut off from what came before.
    Tensors inputs, wanted;
    std::vector<size_t> place;  // of each wanted tensor among what forward was given
    for (size_t i = 0; i < kept.size(); ++i) {
      const bool needed = kept[i].requires_grad();
      if (i < block.inputs) inputs.push_back(kept[i].detach().requires_grad_(needed));
      if (!needed) continue;
      wanted.push_back(i < block.inputs ? inputs.back() : kept[i]);
      place.push_back(i);
    }
    const at::Tensor now = generator_state(block.generator);
    set_generator_state(block.generator, block.state);
    Tensors outputs;
    {
      const torch::AutoGradMode recording(true);
      outputs = block.compute(inputs);
    }
    set_generator_state(block.generator, now);
    Tensors ends, weights;
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (!outputs[i].requires_grad() || !gradients[i].defined()) continue;
      ends.push_back(outputs[i]);
      weights.push_back(gradients[i]);
    }
    Tensors out(1 + kept.size());  // the first for the block itself
    const Tensors found = torch::autograd::grad(ends, wanted, weights, /*retain_graph=*/std::nullopt, /*create_graph=*/false, /*allow_unused=*/true);
    for (size_t i = 0; i < found.size(); ++i) out[1 + place[i]] = found[i];
    return out;
  }
};

// Parameters and adapters of the module that want gradients.
Tensors trained_tensors(const torch::nn::Module& module) {
  Tensors out;
  for (const auto& parameter : module.parameters())
    if (parameter.requires_grad()) out.push_back(parameter);
  const auto add = [&](const torch::nn::Module& one) {
    const auto* layer = dynamic_cast<const WeightedLayer*>(&one);
    if (!layer) return;
    for (const auto& adapter : layer->adapters)
      for (const auto& tensor : {adapter->a, adapter->b})
        if (tensor.requires_grad()) out.push_back(tensor);
  };
  add(module);
  for (const auto& one : module.modules(/*include_self=*/false)) add(*one);
  return out;
}

}  // namespace

bool learning() { return at::GradMode::is_enabled() || recomputed_later; }

GradientCheckpointing::GradientCheckpointing(bool on) : before_(active) { active = on; }
GradientCheckpointing::~GradientCheckpointing() { active = before_; }

Tensors Block::run(const Tensors& inputs, const std::function<Tensors(const Tensors&)>& compute) const {
  const BlockStream::Visit here(stream_, number_);
  // What backward would read of a streamed block is gone by then.
  if (!at::GradMode::is_enabled() || !(active || stream_ != nullptr)) return compute(inputs);
  const Tensors trained = trained_tensors(*this);
  // Below the lowest adapter nothing is recorded anyway.
  if (trained.empty() && std::none_of(inputs.begin(), inputs.end(), [](const torch::Tensor& one) { return one.requires_grad(); })) return compute(inputs);
  auto kept = c10::make_intrusive<Kept>();
  kept->compute = compute;
  kept->stream = stream_;
  kept->number = number_;
  kept->generator = at::globalContext().defaultGenerator(inputs.at(0).device());
  return Recomputed::apply(kept, at::TensorList(inputs), at::TensorList(trained));
}

}  // namespace glyphscope
