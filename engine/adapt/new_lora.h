#pragma once

#include <torch/nn/module.h>

#include <vector>

#include "adapt/lora.h"
#include "adapt/lora_plan.h"
#include "patching/site.h"

namespace glyphscope {

/// The linear layers of its attention layers, which a plan may name.
std::vector<AttentionProjection> attention_projections(const torch::nn::Module& denoiser);
/// The same of a text encoder: those that diffusers' training scripts name. They have no site.
std::vector<AttentionProjection> encoder_projections(const torch::nn::Module& encoder);

/// A new adapter, which changes nothing yet: fp32, where the denoiser is; drawn on the host. Throws a Failure for a site or projection that is not there, or a
/// rank that is larger than the layer.
Lora make_lora(const torch::nn::Module& denoiser, const SiteTable& table, const LoraPlan& plan, torch::Generator generator);
/// One of every attention layer of a text encoder, of the plan's method and size. Throws a Failure as the above.
Lora make_encoder_lora(const torch::nn::Module& encoder, const LoraPlan& plan, torch::Generator generator);

}  // namespace glyphscope
