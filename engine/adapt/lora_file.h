#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "adapt/lora.h"

namespace glyphscope {

/// How a file names an adapter's layers.
enum class LoraFormat {
  diffusers,  ///< `pytorch_lora_weights.safetensors`: "unet.<path>.lora_A.weight", with the settings that PEFT reads in the metadata.
  kohya,      ///< "lora_unet_<name>.lora_down.weight" with an ".alpha" beside it; joint attention's q, k and v as one layer.
};
/// Throws a Failure that lists the names.
LoraFormat parse_lora_format(const std::string& name);

/// Reads an adapter of a denoiser in either format, in PEFT's own (`adapter_model.safetensors`, with adapter_config.json beside it), or in the
/// older ones of diffusers. Adapters of text encoders in the same file are passed over, with a note. Throws a Failure that lists the names which
/// the model does not have, with the nearest that it has; or says which other method than LoRA the file is of.
Lora read_lora(const std::filesystem::path& file, const torch::nn::Module& denoiser, const SiteTable& table, std::vector<std::string>& notes);

/// Writes it, fp32 as it is trained; atomic. Throws a Failure if the format has no name for one of its layers (kohya's for LDM and DeepFloyd IF).
void write_lora(const std::filesystem::path& file, const Lora& lora, LoraFormat format, const torch::nn::Module& denoiser, const SiteTable& table);

}  // namespace glyphscope
