#pragma once

#include <c10/core/Device.h>
#include <torch/nn/module.h>

#include <functional>
#include <memory>
#include <string>

#include "io/safetensors.h"
#include "models/conditioning.h"
#include "patching/site.h"
#include "patching/taps.h"
#include "tests/support/test_device.h"

namespace glyphscope::testing {

/// A denoiser of tests/golden/data of whatever class, with the inputs that the reference called it with.
class SmallDenoiser {
 public:
  explicit SmallDenoiser(const std::string& name, torch::ScalarType dtype = torch::kFloat32, torch::Device device = test_device());
  torch::nn::Module& module() { return *module_; }
  const SiteTable& table() const { return table_; }
  /// What it says of the reference's inputs.
  torch::Tensor call(Taps* taps = nullptr) const { return forward_({}, {}, taps); }
  /// What it says of another sample and timestep, [B] fp32, with the reference's prompt.
  torch::Tensor call(const torch::Tensor& sample, const torch::Tensor& timestep) const { return forward_(sample, timestep, nullptr); }

 private:
  SafetensorsFile expected_;
  std::shared_ptr<torch::nn::Module> module_;
  SiteTable table_;
  std::function<torch::Tensor(const torch::Tensor&, const torch::Tensor&, Taps*)> forward_;
};

}  // namespace glyphscope::testing
