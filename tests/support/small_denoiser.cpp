#include "tests/support/small_denoiser.h"

#include <torch/torch.h>

#include "io/config.h"
#include "io/weights.h"
#include "models/flux.h"
#include "models/mmdit.h"
#include "models/unet.h"
#include "tests/support/golden.h"

namespace glyphscope::testing {

SmallDenoiser::SmallDenoiser(const std::string& name, torch::ScalarType dtype) : expected_(golden(name) / "expected.safetensors") {
  auto get = [this, dtype](const char* key) { return expected_.entries().contains(key) ? expected_.tensor(key).to(dtype) : torch::Tensor(); };
  const Config config = Config::read(golden(name) / "config.json");
  const std::string kind = config.text("_class_name", "");
  auto take = [&](auto model, const char* prompt, const char* pooled) {
    load_weights(*model, Weights::find(golden(name)), {.dtype = dtype});
    const Conditioning conditioning(get(prompt), get(pooled), get("time_ids"));
    const torch::Tensor sample = get("sample"), timestep = expected_.tensor("timestep");
    table_ = model->sites();
    module_ = model;
    forward_ = [=](const torch::Tensor& other, const torch::Tensor& when) {
      return model->forward(other.defined() ? other : sample, when.defined() ? when : timestep, conditioning);
    };
  };
  if (kind == "SD3Transformer2DModel")
    take(std::make_shared<MmDit>(MmDitConfig::parse(config)), "embedding", "pooled");
  else if (kind == "FluxTransformer2DModel")
    take(std::make_shared<Flux>(FluxConfig::parse(config)), "embedding", "pooled");
  else
    take(std::make_shared<UNet>(UNetConfig::parse(config)), "encoder_hidden_states", "text_embeds");
  for (auto& parameter : module_->parameters()) parameter.set_requires_grad(false);
}

}  // namespace glyphscope::testing
