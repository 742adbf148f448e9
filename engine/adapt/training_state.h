#pragma once

#include <torch/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace torch::nn {
class Module;
}

namespace glyphscope {

/// What an optimizer needs to go on where it stopped: fp32 masters (fp64, if the modules compute so) of a set of modules' parameters, AdamW's
/// moments, an exponential moving average, the step. The modules themselves compute in `dtype` (bf16 on the CPU: 15 to 20 % faster
/// than autocast) and are written from the masters after each step.
class TrainingState {
 public:
  struct Options {
    double beta1 = 0.9, beta2 = 0.99, eps = 1e-8, weight_decay = 0.01;
    double clip_norm = 1.0;
    double ema_decay = 0.999;  ///< 0: no average is kept; average() is the masters then.
    torch::ScalarType dtype = torch::kBFloat16;
  };
  /// Names must differ; parameters are known as "name.parameter". Takes the modules' present values as the start, and
  /// converts the modules to options.dtype. Parameters that need no gradient (the MM-DiT's table of positions) stay as they are.
  TrainingState(const std::vector<std::pair<std::string, torch::nn::Module*>>& modules, const Options& options);

  std::int64_t step() const { return step_; }

  /// One AdamW step from the gradients that backward() left in the modules, which are cleared. Returns the gradients'
  /// norm before clipping; a norm that is not finite changes nothing but the step's number.
  double update(double learning_rate);

  /// Puts the moving average into the modules (as their dtype), or the masters back.
  void use_average(bool average);

  /// Bytes of masters, moments and average: what training takes beside the modules themselves.
  std::int64_t bytes() const;

  /// Averaged parameters of one module, as the masters, by the module's own parameter names.
  std::map<std::string, torch::Tensor> average(const std::string& name) const;

  /// Everything, as one safetensors file; atomic. load() throws a Failure if the file is of another model.
  void save(const std::filesystem::path& file) const;
  void load(const std::filesystem::path& file);

 private:
  void write_modules(const std::vector<torch::Tensor>& values);
  Options options_;
  std::int64_t step_ = 0;
  std::vector<std::string> names_;
  std::map<std::string, torch::Tensor> fixed_;  // fp32
  std::vector<torch::Tensor> parameters_, masters_, gradients_, first_, second_, average_, steps_;
};

}  // namespace glyphscope
