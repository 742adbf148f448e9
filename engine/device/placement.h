#pragma once

#include <torch/types.h>

namespace glyphscope {

/// Where a component's weights lie and in which dtype it computes. Three laws: noise, indices and schedules are born on the host, so that a seed gives the same
/// picture on every device; what lies between encoding and decoding lives on the device; results, files and OCR are the host's.
struct Placement {
  torch::Device device = torch::kCPU;
  torch::ScalarType dtype = torch::kFloat32;

  /// For tensors that are made there.
  torch::TensorOptions options() const { return torch::TensorOptions(device).dtype(dtype); }
};

/// For tensors that are born on the host. In models, pipelines and patching every tensor says where it is made: a check refuses factories without options.
inline torch::TensorOptions on_host(torch::ScalarType dtype = torch::kFloat32) { return torch::TensorOptions(torch::kCPU).dtype(dtype); }

/// A copy on the device of a tensor of the host's, for which the host does not wait.
torch::Tensor sent(const torch::Tensor& tensor, torch::Device device);

/// "fp32", "bf16" or "fp16".
const char* dtype_name(torch::ScalarType dtype);

}  // namespace glyphscope
