#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "adapt/lora.h"
#include "patching/site.h"

namespace glyphscope {

/// How a file names an adapter's layers.
enum class LoraFormat {
  diffusers,  ///< `pytorch_lora_weights.safetensors`: "unet.<path>.lora_A.weight", with the settings that PEFT reads in the metadata.
  kohya,      ///< "lora_unet_<name>.lora_down.weight" with an ".alpha" beside it; joint attention's q, k and v as one layer.
  lycoris,    ///< "lycoris_<name>.hada_w1_a", "lycoris_<name>.lora_down.weight": LyCORIS' names for diffusers' layers, which hold any method and family.
};
/// Throws a Failure that lists the names.
LoraFormat parse_lora_format(const std::string& name);

/// What a file changes of a model.
struct Adapter {
  Lora denoiser;
  std::map<std::string, Lora> encoders;  ///< By component: "text_encoder_2".
};

/// The networks of a model, whose layers a file names.
struct AdapterTarget {
  const torch::nn::Module& denoiser;
  const SiteTable& table;
  struct Encoder {
    std::string component;  ///< In the order of the components.
    bool t5 = false;
    const torch::nn::Module* module = nullptr;  ///< Null: the file has no part for it.
  };
  std::vector<Encoder> encoders = {};  ///< Empty: a file's parts of text encoders are passed over, with a note.
};

/// The key of the metadata that holds what Glyphscope says of an adapter that it trained.
inline constexpr const char* kOwnMetadata = "glyphscope";
/// As diffusers' folders and adapters call it: "unet" or "transformer".
std::string denoiser_component(const torch::nn::Module& denoiser);

/// The file in an adapter's folder, or the file itself. Throws a Failure for a folder without one.
std::filesystem::path adapter_file(const std::filesystem::path& path);
/// Whether this is an adapter by what its tensors are called, or the folder of one; no numbers are read. False for what cannot be read.
bool is_adapter(const std::filesystem::path& path);
/// SHA-256 of the file, and of the settings that PEFT has beside it.
std::string adapter_hash(const std::filesystem::path& path);
/// The target's text encoders of which the file has a part, by component. Throws a Failure for a file that cannot be read.
std::set<std::string> encoders_in(const std::filesystem::path& path, const AdapterTarget& target);

/// Reads an adapter of any method that LayerChange knows, by the names of diffusers (old and new), PEFT (with adapter_config.json beside it, or its folder),
/// kohya, LyCORIS, OneTrainer, ComfyUI and XLabs; docs/files.md has the table. Throws a Failure that lists the names which the model does not have, with the
/// nearest that it has; or says which other method the file is of.
Adapter read_adapter(const std::filesystem::path& path, const AdapterTarget& target, std::vector<std::string>& notes);
/// Its part for the denoiser alone.
Lora read_lora(const std::filesystem::path& file, const torch::nn::Module& denoiser, const SiteTable& table, std::vector<std::string>& notes);

/// The format that holds it: diffusers', or LyCORIS'.
LoraFormat fitting_format(const Adapter& adapter, const AdapterTarget& target);
/// Throws the Failure that write_adapter would throw for an adapter that the format cannot hold.
void check_format(const Adapter& adapter, LoraFormat format, const AdapterTarget& target);
/// Writes it, fp32 as it is trained; atomic. Throws a Failure if the format has no name for one of its layers (kohya's for LDM and DeepFloyd IF), or for its
/// method: diffusers' has LoRA and DoRA, kohya's and LyCORIS' all of LyCORIS'.
void write_adapter(const std::filesystem::path& file, const Adapter& adapter, LoraFormat format, const AdapterTarget& target);
/// Of a denoiser's alone.
void write_lora(const std::filesystem::path& file, const Lora& lora, LoraFormat format, const torch::nn::Module& denoiser, const SiteTable& table);

}  // namespace glyphscope
