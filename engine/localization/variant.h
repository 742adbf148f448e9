#pragma once

#include <string>
#include <vector>

#include "patching/patch_plan.h"

namespace glyphscope {

/// What pictures of an experiment differ by: A's picture is patched by this plan. A cell is a variant on a pair with a noise.
struct Variant {
  std::string label;  ///< For file names, rows and columns: "5,7-9".
  PatchPlan plan;     ///< Its patches see prompt 1.

  std::vector<int> sites() const { return sites_of(plan); }
  /// Equal if they draw the same, whatever they are called.
  bool operator==(const Variant& other) const { return plan == other.plan; }
};

/// These sites together, from a step on.
inline Variant sites_variant(const std::vector<int>& sites, int from_step) { return {format_sites(sites), PatchPlan::at_sites(sites, 1, from_step)}; }

}  // namespace glyphscope
