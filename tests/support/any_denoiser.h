#pragma once

#include <c10/core/Device.h>
#include <torch/nn/module.h>

#include <filesystem>
#include <functional>
#include <memory>

#include "models/conditioning.h"
#include "patching/site.h"
#include "patching/taps.h"
#include "tests/support/test_device.h"

namespace glyphscope::testing {

/// A denoiser in a diffusers folder of its own, of whatever class its config.json names.
struct AnyDenoiser {
  std::shared_ptr<torch::nn::Module> module;
  SiteTable table;
  bool joint = false;  ///< Its K and V of the prompt change with the picture.
  std::function<torch::Tensor(const torch::Tensor& sample, const torch::Tensor& timestep, const Conditioning&, Taps*)> forward;

  /// Throws a Failure.
  static AnyDenoiser open(const std::filesystem::path& folder, torch::ScalarType dtype, torch::Device device = test_device());
};

}  // namespace glyphscope::testing
