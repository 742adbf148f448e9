#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/autoencoder.h"
#include "pipelines/batched_pipeline.h"

namespace glyphscope {

/// A batched pipeline that denoises the latents of an autoencoder.
class LatentPipeline : public BatchedPipeline {
 protected:
  /// Reads the autoencoder's configuration too, from the folder of that name.
  LatentPipeline(const ModelFolder& model, const Opening& opening, const Config& scheduler, std::vector<std::string> components,
                 const std::string& autoencoder = "vae");
  void load_autoencoder();
  /// Throws a Failure if what one component writes is not as wide as what the transformer reads of it.
  void check_width(std::int64_t writes, std::int64_t reads, const std::string& what) const;
  const Autoencoder& autoencoder() const { return *autoencoder_; }

  Signal encode_pixels(const torch::Tensor& pixels) const override;
  std::int64_t channels() const override { return autoencoder_->latent_channels(); }
  std::int64_t factor() const override { return autoencoder_->factor(); }
  torch::Tensor decode(const torch::Tensor& latent, std::vector<std::string>& notes, const CancelToken& cancel) const override;

 private:
  // A picture, in smaller and smaller tiles where memory is too short for larger ones.
  torch::Tensor in_tiles_that_fit(const torch::Tensor& latent, const CancelToken& cancel) const;
  mutable std::uint64_t too_little_ = 0;  // memory for which tiles had to be smaller than usual
  std::string autoencoder_name_;
  Placement autoencoder_placement_;
  std::unique_ptr<Autoencoder> autoencoder_;
};

/// The model's scheduler with even steps to shift, which diffusers' pipelines of some flow models give it.
Config even_scheduler(const ModelFolder& model);

}  // namespace glyphscope
