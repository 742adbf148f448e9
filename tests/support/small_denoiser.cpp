#include "tests/support/small_denoiser.h"

#include <torch/types.h>

#include "tests/support/any_denoiser.h"
#include "tests/support/golden.h"

namespace glyphscope::testing {

SmallDenoiser::SmallDenoiser(const std::string& name, torch::ScalarType dtype, torch::Device device) : expected_(golden(name) / "expected.safetensors") {
  // U-Nets' files name them as diffusers' call does.
  const auto get = [&](const char* name, const char* other) {
    for (const char* key : {name, other})
      if (expected_.entries().contains(key)) return expected_.tensor(key).to(device, dtype);
    return torch::Tensor();
  };
  const AnyDenoiser opened = AnyDenoiser::open(golden(name), dtype, device);
  const torch::Tensor numbers = get("time_ids", "time_ids");  // whatever of these the model reads
  const Conditioning conditioning{.embedding = get("embedding", "encoder_hidden_states"),
                                  .pooled = get("pooled", "text_embeds"),
                                  .sizes = numbers,
                                  .noise_level = numbers,
                                  .guidance = numbers,
                                  .prompt_mask = expected_.entries().contains("prompt_mask") ? expected_.tensor("prompt_mask").to(device) : torch::Tensor()};
  const torch::Tensor sample = get("sample", "sample"), timestep = expected_.tensor("timestep").to(device);
  table_ = opened.table;
  module_ = opened.module;
  forward_ = [=](const torch::Tensor& other, const torch::Tensor& when, Taps* taps) {
    return opened.forward(other.defined() ? other : sample, when.defined() ? when : timestep, conditioning, taps);
  };
}

}  // namespace glyphscope::testing
