#include "device/select_heads.h"

#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/types.h>

#include "core/error.h"
#include "device/kernels.h"

namespace glyphscope {

torch::Tensor select_heads_portable(const torch::Tensor& prompts, const torch::Tensor& choice) {
  return prompts.index({choice.to(torch::kInt64), torch::arange(prompts.size(1), choice.options().dtype(torch::kInt64)).unsqueeze(0)});
}

torch::Tensor select_heads(const torch::Tensor& prompts, const torch::Tensor& choice) {
  if (prompts.dim() != 4 || choice.dim() != 2 || choice.size(1) != prompts.size(1) || choice.scalar_type() != torch::kInt32)
    reject("select_heads takes prompts [P, heads, T, D] and a choice [B, heads] of int32");
  if (prompts.is_cuda() && !prompts.requires_grad() && kernels().select_heads) {
    const torch::Tensor from = prompts.contiguous(), rows = choice.contiguous();
    torch::Tensor out = torch::empty({choice.size(0), prompts.size(1), prompts.size(2), prompts.size(3)}, prompts.options());
    const c10::DeviceGuard there(prompts.device());
    const c10::impl::VirtualGuardImpl guard(c10::kCUDA);
    const char* error = kernels().select_heads(from.const_data_ptr(), rows.const_data_ptr<int>(), out.mutable_data_ptr(), choice.size(0), prompts.size(1),
                                               prompts.size(2) * prompts.size(3) * prompts.element_size(), guard.getStream(prompts.device()).native_handle());
    if (error) throw Failure({ErrorCode::internal, std::string("CUDA: ") + error, "select_heads", ""});
    return out;
  }
  return select_heads_portable(prompts, choice);
}

}  // namespace glyphscope
