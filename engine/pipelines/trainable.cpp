#include "pipelines/trainable.h"

#include <torch/types.h>

namespace glyphscope {

Conditioning Trainable::condition(const std::string& prompt, std::vector<std::string>& notes) const {
  torch::NoGradGuard no_grad;
  const FamilyModel::Prompt read = model_.encode(prompt, 0, notes);
  // What a run remembers was made in inference mode; copies can be trained with.
  auto own = [](const torch::Tensor& tensor) { return tensor.defined() ? tensor.clone() : tensor; };
  return {.embedding = own(read.embedding), .pooled = own(read.pooled), .prompt_mask = own(read.mask)};
}

Conditioning Trainable::condition_learning(const std::string& prompt) const {
  std::vector<std::string> told;  // when the captions were first read
  const FamilyModel::Prompt read = model_.encode(prompt, 0, told);
  return {.embedding = read.embedding, .pooled = read.pooled, .prompt_mask = read.mask};
}

Conditioning Trainable::beside_caption(const PictureSize& size) const {
  Request request;
  request.height = size.height;
  request.width = size.width;
  return model_.beside_caption(size, pipeline_.resolve(request));
}

torch::Tensor Trainable::denoise(const torch::Tensor& noisy, const torch::Tensor& timestep, const Conditioning& conditioning, Taps* taps) const {
  return model_.denoiser(noisy.to(model_.placement().options()), timestep.to(model_.placement().device), conditioning, taps).slice(1, 0, model_.channels());
}

}  // namespace glyphscope
