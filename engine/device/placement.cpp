#include "device/placement.h"

namespace glyphscope {

torch::Tensor sent(const torch::Tensor& tensor, torch::Device device) {
  return device.is_cpu() ? tensor : tensor.pin_memory().to(device, /*non_blocking=*/true);
}

const char* dtype_name(torch::ScalarType dtype) { return dtype == torch::kBFloat16 ? "bf16" : dtype == torch::kFloat16 ? "fp16" : "fp32"; }

}  // namespace glyphscope
