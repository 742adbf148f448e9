#pragma once

#include <map>
#include <string>

#include "pipelines/single_file.h"

namespace glyphscope {

// Keys of components that several families share, as their authors' checkpoints have them. Source: diffusers loaders/single_file_utils.py, and the
// authors' repositories it names.

/// Stable Diffusion's U-Net.
KeyTable unet_keys(const Config& config);
/// Its autoencoder, which later families took over.
KeyTable autoencoder_keys(const Config& config);
/// OpenCLIP's text encoders.
KeyTable open_clip_keys(const Config& config);
/// Of a component that keeps the keys it has in transformers.
KeyTable same_keys(const Config& config);

/// The original code's names of a U-Net's layers, by the paths of diffusers; a path may have two. Empty for another denoiser.
std::multimap<std::string, std::string> original_unet_names(const torch::nn::Module& denoiser);

}  // namespace glyphscope
