#include "tests/support/any_denoiser.h"

#include <torch/types.h>

#include "io/weights.h"
#include "models/flux.h"
#include "models/mmdit.h"
#include "models/unet.h"
#include "models/z_image.h"

namespace glyphscope::testing {

AnyDenoiser AnyDenoiser::open(const std::filesystem::path& folder, torch::ScalarType dtype, torch::Device device) {
  const Config config = Config::read(folder / "config.json");
  const std::string kind = config.text("_class_name", "");
  AnyDenoiser out;
  const auto take = [&](auto model) {
    load_weights(*model, Weights::find(folder), {.placement = {device, dtype}});
    out.table = model->sites();
    out.module = model;
    out.forward = [model](const torch::Tensor& x, const torch::Tensor& t, const Conditioning& c, Taps* taps) { return model->forward(x, t, c, taps); };
  };
  out.joint = kind == "SD3Transformer2DModel" || kind == "FluxTransformer2DModel" || kind == "ZImageTransformer2DModel";
  if (kind == "SD3Transformer2DModel")
    take(std::make_shared<MmDit>(MmDitConfig::parse(config)));
  else if (kind == "FluxTransformer2DModel")
    take(std::make_shared<Flux>(FluxConfig::parse(config)));
  else if (kind == "ZImageTransformer2DModel")
    take(std::make_shared<ZImage>(ZImageConfig::parse(config)));
  else
    take(std::make_shared<UNet>(UNetConfig::parse(config)));
  for (auto& parameter : out.module->parameters()) parameter.set_requires_grad(false);
  return out;
}

}  // namespace glyphscope::testing
