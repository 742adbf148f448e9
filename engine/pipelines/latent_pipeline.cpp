#include "pipelines/latent_pipeline.h"

#include <torch/types.h>

#include <algorithm>

#include "core/error.h"
#include "device/devices.h"

namespace glyphscope {

// Smaller tiles are kept for the pictures to come, until there is more memory. Pictures are never encoded in them, as what is learned from is kept.
torch::Tensor LatentPipeline::in_tiles_that_fit(const torch::Tensor& latent, const CancelToken& cancel) const {
  const torch::Device device = autoencoder_placement_.device;
  const std::int64_t usual = autoencoder_->usual_tile_size();
  for (;;) {
    try {
      return autoencoder_->to_pixels(latent, autoencoder_placement_.dtype, cancel);
    } catch (const c10::Error& error) {
      const std::int64_t smaller = autoencoder_->tile_size / 2, least = 8 * factor();
      if (!is_out_of_memory(error) || smaller < least) {
        autoencoder_->tile_size = usual;
        throw;
      }
      autoencoder_->tile_size = smaller;
    }
    release_cached_memory(device);
    too_little_ = memory_for_tensors(device);
  }
}

FamilyModel::Signal LatentPipeline::encode_pixels(const torch::Tensor& pixels) const {
  torch::NoGradGuard no_grad;
  autoencoder_->tile_size = autoencoder_->usual_tile_size();
  const auto [mean, deviation] = autoencoder_->to_latents(pixels.to(autoencoder_placement_.options()));
  return {mean, deviation};
}

LatentPipeline::LatentPipeline(const ModelFolder& model, const Opening& opening, const Config& scheduler, std::vector<std::string> components,
                               const std::string& autoencoder)
    : BatchedPipeline(model, opening, scheduler, std::move(components)),
      autoencoder_name_(autoencoder),
      autoencoder_placement_(opening.plan.placement(autoencoder)),
      autoencoder_(make_autoencoder(model.config(autoencoder))) {}

Config even_scheduler(const ModelFolder& model) {
  const Config config = model.scheduler();
  nlohmann::json json = config.json();
  json["even_sigmas"] = true;
  return {json, config.where()};
}

void LatentPipeline::check_width(std::int64_t writes, std::int64_t reads, const std::string& what) const {
  if (writes != reads)
    reject(what + " is " + std::to_string(writes) + " wide, the transformer reads " + std::to_string(reads), folder().folder().string(),
           "The components belong to different models");
}

void LatentPipeline::load_autoencoder() {
  load(autoencoder_name_, autoencoder_->module(), [this](const std::string& key) { return autoencoder_->rename(key); });
}

torch::Tensor LatentPipeline::decode(const torch::Tensor& latent, std::vector<std::string>& notes, const CancelToken& cancel) const {
  const torch::Device device = autoencoder_placement_.device;
  const std::int64_t usual = autoencoder_->usual_tile_size();
  if (autoencoder_->tile_size != usual && memory_for_tensors(device) > too_little_ + too_little_ / 4) autoencoder_->tile_size = usual;
  const torch::Tensor there = latent.to(device);
  torch::Tensor out;
  try {
    out = autoencoder_->to_pixels(there, autoencoder_placement_.dtype, cancel);
  } catch (const c10::Error& error) {
    if (!is_out_of_memory(error)) throw;
  }
  if (!out.defined()) {
    // Then one after the other.
    release_cached_memory(device);
    std::vector<torch::Tensor> each;
    for (const auto& one : there.split(1)) each.push_back(in_tiles_that_fit(one, cancel));
    out = torch::cat(each);
  }
  if (autoencoder_->tile_size < usual && std::max(out.size(2), out.size(3)) > autoencoder_->tile_size)
    notes.push_back("For want of memory pictures are decoded in tiles of " + std::to_string(autoencoder_->tile_size) + " pixels a side, not " +
                    std::to_string(usual) + ": shades may differ a little");
  return out;
}

}  // namespace glyphscope
