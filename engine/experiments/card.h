#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "experiments/certificate.h"

namespace glyphscope {

/// A localization card, as card.json tells it.
struct Card {
  nlohmann::ordered_json document;
  std::string sha256;             ///< Of the file.
  std::string model, model_hash;  ///< Its source, and what it is.
  std::vector<Site> sites;        ///< That were chosen: their numbers, names and projections.
  CertifySettings settings;       ///< Of the run that made it.
};

/// Throws a Failure that names the file: it is no card, or of a version that is not known, or says that no set of sites keeps the text.
Card read_card(const std::filesystem::path& file);

/// The sites of this model that a card means: layers of the same paths. Throws a Failure that names one that the model lacks.
std::vector<int> sites_of(const Card& card, const SiteTable& table);

/// What of a card goes on to the card of another model: its file, model, verdict and evidence.
nlohmann::ordered_json transfer_of(const Card& card);

/// The names under which trainers and samplers know the K and V layers of a card's sites.
struct LayerNames {
  std::vector<std::string> diffusers;  ///< Paths in the denoiser: PEFT, diffusers, OneTrainer.
  std::vector<std::string> trainer;    ///< Paths in the denoiser of kohya-ss/sd-scripts. Empty: it has none for this family.
  std::vector<std::string> original;   ///< In the model's first code, as ComfyUI and single files name them. Empty: not known.
};
LayerNames layer_names(const std::vector<Site>& sites);

/// Writes a card's sites as settings of other programs, and returns the files' names: peft.json (LoraConfig's target_modules), onetrainer.json (layer_filter);
/// lycoris.toml (a preset for kohya-ss/sd-scripts with LyCORIS) and comfyui.json, where names for them are known.
/// Throws a Failure for a folder that cannot be written.
std::vector<std::string> export_card(const Card& card, const std::filesystem::path& folder);

}  // namespace glyphscope
