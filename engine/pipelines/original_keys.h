#pragma once

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

}  // namespace glyphscope
