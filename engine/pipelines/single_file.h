#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "io/config.h"
#include "io/safetensors.h"
#include "io/weights.h"

namespace glyphscope {

/// A checkpoint in one file, with the keys that the model's authors gave it: Stable Diffusion 1, 2, XL, XL's refiner, 3 and
/// 3.5. It holds weights alone; configurations and tokenizers come from a diffusers folder beside it.
class SingleFile {
 public:
  /// Throws a Failure for a file that is no safetensors, or of no family that is known.
  explicit SingleFile(const std::filesystem::path& file);

  /// Folder of resources/configs that holds this family's published configurations: sd1, sd2, sdxl, sdxl-refiner, sd3,
  /// sd3.5-medium or sd3.5-large.
  const std::string& configs() const { return configs_; }
  const std::filesystem::path& path() const { return file_.path(); }
  /// What keys of the file say of the scheduler, whatever a configuration says: an object of scheduler_config.json's keys, perhaps empty.
  const nlohmann::json& scheduler() const { return scheduler_; }
  bool has(const std::string& component) const;
  /// A component's weights under diffusers' and transformers' keys. config: the component's. Throws a Failure for a component it does not hold.
  Weights weights(const std::string& component, const Config& config) const;

 private:
  struct Place;
  struct Family;
  static const std::vector<Family>& families();
  const Place* find(const std::string& component) const;
  SafetensorsFile file_;
  const Family* family_ = nullptr;
  std::string configs_;
  nlohmann::json scheduler_ = nlohmann::json::object();
};

}  // namespace glyphscope
