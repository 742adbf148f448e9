#include "adapt/training_state.h"

#include <torch/nn/module.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/option.h"
#include "io/safetensors.h"

namespace glyphscope {

TrainingState::TrainingState(const std::vector<std::pair<std::string, torch::nn::Module*>>& modules, const Options& options) : options_(options) {
  torch::NoGradGuard no_grad;
  const auto wide = options.dtype == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  for (const auto& [name, module] : modules) {
    for (auto& item : module->named_parameters()) {
      torch::Tensor& parameter = item.value();
      if (!parameter.requires_grad()) {
        fixed_[name + "." + item.key()] = parameter.detach().to(torch::kFloat32).clone();
        parameter.set_data(parameter.to(options.dtype));
        continue;
      }
      names_.push_back(name + "." + item.key());
      torch::Tensor master = parameter.detach().to(wide).clone();
      masters_.push_back(master);
      gradients_.push_back(torch::empty_like(master));
      first_.push_back(torch::zeros_like(master));
      second_.push_back(torch::zeros_like(master));
      if (options.ema_decay > 0) average_.push_back(master.clone());
      steps_.push_back(torch::zeros({}, master.options().dtype(torch::kFloat32)));
      torch::Tensor data = master.to(options.dtype, /*non_blocking=*/false, /*copy=*/true);
      // Channels-last is the layout in which oneDNN's convolutions need no reordering.
      parameter.set_data(data.dim() == 4 ? data.contiguous(torch::MemoryFormat::ChannelsLast) : data);
      parameter.set_requires_grad(true);
      parameters_.push_back(parameter);
    }
  }
}

double TrainingState::update(double learning_rate) {
  torch::NoGradGuard no_grad;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (parameters_[i].grad().defined()) {
      gradients_[i].copy_(parameters_[i].grad());
      parameters_[i].mutable_grad() = torch::Tensor();
    } else {
      gradients_[i].zero_();
    }
  }
  ++step_;
  const double norm = torch::stack(at::_foreach_norm(gradients_)).norm().item<double>();
  if (!std::isfinite(norm)) return norm;
  if (norm > options_.clip_norm) at::_foreach_mul_(gradients_, options_.clip_norm / (norm + 1e-6));
  at::_foreach_add_(steps_, 1);
  at::_fused_adamw_(masters_, gradients_, first_, second_, {}, steps_, learning_rate, options_.beta1, options_.beta2, options_.weight_decay, options_.eps,
                    /*amsgrad=*/false,
                    /*maximize=*/false);
  // A young average follows quickly, as in timm and in the diffusers examples.
  const double step = static_cast<double>(step_), decay = std::min(options_.ema_decay, (1 + step) / (10 + step));
  if (!average_.empty()) at::_foreach_lerp_(average_, masters_, 1 - decay);
  write_modules(masters_);
  return norm;
}

void TrainingState::write_modules(const std::vector<torch::Tensor>& values) {
  torch::NoGradGuard no_grad;
  for (size_t i = 0; i < parameters_.size(); ++i) parameters_[i].copy_(values[i]);
}

void TrainingState::use_average(bool average) { write_modules(average && !average_.empty() ? average_ : masters_); }

std::int64_t TrainingState::bytes() const {
  std::int64_t sum = 0;
  for (const auto* list : {&masters_, &gradients_, &first_, &second_, &average_})
    for (const auto& tensor : *list) sum += static_cast<std::int64_t>(tensor.nbytes());
  return sum;
}

std::map<std::string, torch::Tensor> TrainingState::average(const std::string& name) const {
  std::map<std::string, torch::Tensor> out;
  for (size_t i = 0; i < names_.size(); ++i)
    if (names_[i].starts_with(name + ".")) out[names_[i].substr(name.size() + 1)] = average_.empty() ? masters_[i] : average_[i];
  for (const auto& [key, value] : fixed_)
    if (key.starts_with(name + ".")) out[key.substr(name.size() + 1)] = value;
  return out;
}

void TrainingState::save(const std::filesystem::path& file) const {
  std::map<std::string, torch::Tensor> tensors;
  for (size_t i = 0; i < names_.size(); ++i) {
    tensors["master." + names_[i]] = masters_[i];
    tensors["first." + names_[i]] = first_[i];
    tensors["second." + names_[i]] = second_[i];
    if (!average_.empty()) tensors["average." + names_[i]] = average_[i];
  }
  // AdamW's own count of steps lags behind where a gradient was not finite.
  write_safetensors(file, tensors, {{"step", std::to_string(step_)}, {"adam_step", std::to_string(static_cast<std::int64_t>(steps_[0].item<float>()))}});
}

void TrainingState::load(const std::filesystem::path& path) {
  torch::NoGradGuard no_grad;
  SafetensorsFile file(path);
  if (!file.metadata().contains("step") || !file.metadata().contains("adam_step")) reject("this is no training checkpoint", path.string());
  auto read = [&](const std::string& key, torch::Tensor& into) {
    torch::Tensor tensor = file.tensor(key);
    if (tensor.sizes() != into.sizes())
      reject("'" + key + "' has another shape than the model", path.string(), "The checkpoint is of another recipe; use another " + option(Option::out));
    into.copy_(tensor);
  };
  for (size_t i = 0; i < names_.size(); ++i) {
    read("master." + names_[i], masters_[i]);
    read("first." + names_[i], first_[i]);
    read("second." + names_[i], second_[i]);
    if (!average_.empty()) read("average." + names_[i], average_[i]);
    steps_[i].fill_(std::stod(file.metadata().at("adam_step")));
  }
  step_ = std::stoll(file.metadata().at("step"));
  write_modules(masters_);
}

}  // namespace glyphscope
