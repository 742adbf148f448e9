#pragma once

#include <torch/nn/module.h>

#include <mutex>
#include <vector>

#include "io/config.h"
#include "models/attention.h"
#include "models/conditioning.h"
#include "patching/site.h"

namespace glyphscope {

/// What a FLUX transformer is built from; names are those of diffusers' `FluxTransformer2DModel` configuration.
struct FluxConfig {
  std::int64_t channels = 64;  ///< `in_channels`: of a token, which is 2 x 2 points of the latent.
  std::int64_t layers = 19, single_layers = 38, heads = 24, head_width = 128;
  std::int64_t joint_attention_dim = 4096, pooled_projection_dim = 768;
  bool guidance = false;                       ///< `guidance_embeds`: it reads the guidance as a number.
  std::vector<std::int64_t> axes{16, 56, 56};  ///< `axes_dims_rope`: of a head's width, what turns by picture, row and column.

  std::int64_t width() const { return heads * head_width; }
  std::int64_t latent_channels() const { return channels / 4; }
  /// Throws a Failure that names the key for a value that is wrong or not supported.
  static FluxConfig parse(const Config& config);
};

class JointBlock;
class FluxSingleBlock;
class Modulation;
class TimeTextEmbed;

/// diffusers' `FluxTransformer2DModel` (models/transformers/transformer_flux.py): blocks of two streams, then blocks of one that holds both.
/// Each block's attention is a site: its prompt K and V are those of the prompt's tokens, which in single blocks `to_k` and `to_v` make too.
class Flux : public torch::nn::Module {
 public:
  explicit Flux(const FluxConfig& config);
  ~Flux() override;

  /// sample: [B, latent_channels, H, W] with even sides; timestep: [B] fp32, 0 to 1000; embedding [B, T, joint_attention_dim], pooled
  /// [B, pooled_projection_dim] and, with `guidance`, guidance [B] of the conditioning -> as sample. Throws a Failure.
  torch::Tensor forward(const torch::Tensor& sample, const torch::Tensor& timestep, const Conditioning& conditioning, Taps* taps = nullptr) const;

  const FluxConfig& config() const { return config_; }
  const SiteTable& sites() const { return sites_; }

 private:
  Rotary rotary(std::int64_t rows, std::int64_t columns, torch::Device device) const;
  // The last size's stay where they are: they are the same at every step.
  struct RotaryTables {
    std::mutex mutex;
    std::int64_t rows = 0, columns = 0;
    Rotary tables;
  };
  mutable RotaryTables rotary_;

  FluxConfig config_;
  SiteTable sites_;
  std::shared_ptr<Linear> x_embedder, context_embedder, proj_out;
  std::shared_ptr<TimeTextEmbed> time_text_embed;
  std::shared_ptr<List<JointBlock>> transformer_blocks;
  std::shared_ptr<List<FluxSingleBlock>> single_transformer_blocks;
  std::shared_ptr<Modulation> norm_out;
};

}  // namespace glyphscope
