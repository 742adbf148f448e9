#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "experiments/prompt_set.h"
#include "experiments/variant.h"
#include "pipelines/pipeline.h"

namespace glyphscope {

/// What every cell of a run depends on, whatever is asked of it.
struct RunSettings {
  std::vector<PromptPair> pairs;
  std::vector<std::uint64_t> seeds{42};  ///< Noises; each pair is run with each.
  Request sampling;                      ///< Steps, guidance, scheduler, size, method, rows at once; no prompts or rows.
  nlohmann::ordered_json judges;         ///< What models of the user's score the pictures: Judges::describe().
  bool pooled_target = false;            ///< Patched rows read the other prompt's pooled state, where the model reads one.

  /// Two runs with equal documents may share their cells.
  nlohmann::ordered_json to_json() const;
  /// The reverse. Throws a Failure that names `where`.
  static RunSettings from_json(const nlohmann::json& json, const std::string& where);

  /// Every pair with every noise.
  std::vector<Cell> cells() const;
};

/// What is drawn of one cell: a row each variant. Sampling must be resolved.
Request cell_request(const RunSettings& settings, const Cell& cell, const std::vector<Variant>& variants);
/// A's and B's pictures as they are.
Request own_request(const RunSettings& settings, const Cell& cell);

}  // namespace glyphscope
