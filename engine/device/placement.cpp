#include "device/placement.h"

namespace glyphscope {

const char* dtype_name(torch::ScalarType dtype) { return dtype == torch::kBFloat16 ? "bf16" : dtype == torch::kFloat16 ? "fp16" : "fp32"; }

}  // namespace glyphscope
