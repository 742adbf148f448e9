#pragma once

#include <unicode/regex.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "io/safetensors.h"

namespace glyphscope {

/// diffusers' LORA_ADAPTER_METADATA_KEY.
inline constexpr const char* kAdapterSettings = "lora_adapter_metadata";

/// What stands in an adapter file's metadata, or beside PEFT's own file, on how much each layer of a component counts.
class AdapterSettings {
 public:
  /// component: "unet". peft: the file's keys are PEFT's own, whose settings are in a file beside it. Throws a Failure.
  AdapterSettings(const SafetensorsFile& file, const std::string& component, bool peft, std::vector<std::string>& notes);

  /// Each layer has a magnitude.
  bool dora() const { return dora_; }
  /// Of PEFT's LoHa and LoKr; 0: the tensors say it.
  double rank() const { return rank_; }
  /// They are of PEFT's OFT, and say how its rotations are formed.
  bool of_rotations() const { return of_rotations_; }
  /// PEFT's OFT: terms of the series that stands for the inverse, 0: the inverse itself; and the most that a block's generator may be, 0: no limit.
  int series_terms() const { return series_terms_; }
  double largest_turn() const { return largest_turn_; }
  /// Of a layer whose file gives it none. Throws a Failure for a pattern that takes too long.
  double alpha(const std::string& path, std::int64_t rank) const;

 private:
  struct Pattern {
    std::string text;
    std::unique_ptr<icu::RegexPattern> compiled;
    double alpha;
  };
  double header_number(const std::string& key, const std::string& text) const;
  double number(const std::string& key, const nlohmann::ordered_json& value) const;
  void add_pattern(const std::string& pattern, double alpha);
  bool matches(const Pattern& pattern, const std::string& path) const;

  std::string where_;
  double rank_ = 0, largest_turn_ = 0;
  int series_terms_ = 0;
  bool of_rotations_ = false;
  std::optional<double> alpha_;
  std::vector<Pattern> patterns_;
  bool rank_stabilised_ = false, dora_ = false;
};

}  // namespace glyphscope
