#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "experiments/prompt_set.h"
#include "metrics/measurement.h"
#include "patching/patch_plan.h"
#include "pipelines/pipeline.h"

namespace glyphscope {

/// A pair with a noise, by number.
struct Cell {
  int pair = 0, noise = 0;
  bool operator==(const Cell&) const = default;
};

/// What pictures of an experiment differ by: the picture of one prompt, patched by a plan to see the other.
struct Variant {
  std::string label;  ///< For file names, rows and columns: "5,7-9".
  PatchPlan plan;     ///< Of prompt A's picture (base 0) its patches see prompt B (1), the reverse of B's. Empty: the prompt's own picture.
  int base = 0;       ///< Whose picture is patched. A's: is what sees B enough for B's text? B's: is what sees A needed for it?

  std::vector<int> sites() const { return sites_of(plan); }
  /// Equal if they draw the same, whatever they are called.
  bool operator==(const Variant& other) const { return base == other.base && plan == other.plan; }
};

/// These sites of A's picture together, from a step on.
inline Variant sites_variant(const std::vector<int>& sites, int from_step) { return {format_sites(sites), PatchPlan::at_sites(sites, 1, from_step)}; }
/// A's picture as it is (0), or B's (1).
inline Variant own_picture(int base) { return {base == 0 ? "A" : "B", {}, base}; }

/// The picture of a variant on one cell: what it reads and scores. Texts are scored against A's and B's, whoever's picture it is; the picture against that
/// of its base.
struct MeasuredVariant : Measurement {
  Variant variant;
  std::string picture;  ///< Its file in the run's folder, if it is kept: A's and B's own are.

  nlohmann::ordered_json to_json() const;
  /// The reverse. Throws a Failure for a score that cannot be.
  static MeasuredVariant from_json(const nlohmann::json& json);
};

}  // namespace glyphscope
