#include "pipelines/latent_pipeline.h"

#include <torch/types.h>

namespace glyphscope {

FamilyModel::Signal LatentPipeline::encode_pixels(const torch::Tensor& pixels) const {
  torch::NoGradGuard no_grad;
  const auto [mean, deviation] = autoencoder_->to_latents(pixels.to(autoencoder_placement_.options()));
  return {mean, deviation};
}

LatentPipeline::LatentPipeline(const ModelFolder& model, const Opening& opening, const Config& scheduler, std::vector<std::string> components,
                               const std::string& autoencoder)
    : BatchedPipeline(model, opening, scheduler, std::move(components)),
      autoencoder_name_(autoencoder),
      autoencoder_placement_(opening.plan.placement(autoencoder)),
      autoencoder_(make_autoencoder(Config::read(model / autoencoder / "config.json"))) {}

void LatentPipeline::load_autoencoder() {
  load(autoencoder_name_, autoencoder_->module(), [this](const std::string& key) { return autoencoder_->rename(key); });
}

torch::Tensor LatentPipeline::decode(const torch::Tensor& latent, const CancelToken& cancel) const {
  return autoencoder_->to_pixels(latent.to(autoencoder_placement_.device), autoencoder_placement_.dtype, cancel);
}

}  // namespace glyphscope
