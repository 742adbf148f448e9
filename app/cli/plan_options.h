#pragma once

#include <string>
#include <vector>

#include "app/cli/cli.h"
#include "patching/patch_plan.h"

namespace glyphscope::cli {

/// Options of which layers see prompt 1, and how; shared by the verbs that patch with one plan.
class PlanOptions {
 public:
  explicit PlanOptions(std::string sites_help) : sites_help_(std::move(sites_help)) {}
  CLI::Option* add(CLI::App& verb);  ///< That of --sites.
  /// sites: what --sites leaves open. Throws a Failure.
  PatchPlan plan(const SiteTable& table, const std::vector<int>& sites = {}) const;

 private:
  std::string sites_help_, sites_, streams_ = "kv", part_ = "prompt";
  std::vector<std::string> heads_, tokens_, encoders_;
  int from_step_ = 0, to_step_ = SitePatch::kLastStep;
  double strength_ = 1;
};

}  // namespace glyphscope::cli
