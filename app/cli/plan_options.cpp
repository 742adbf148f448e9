#include "app/cli/plan_options.h"

namespace glyphscope::cli {

CLI::Option* PlanOptions::add(CLI::App& verb) {
  CLI::Option* sites = verb.add_option("--sites", sites_, sites_help_);
  verb.add_option("--heads", heads_, "Only these heads of a site, for example 5:0,2 (repeatable)");
  verb.add_option("--streams", streams_, "kv, k or v")->capture_default_str();
  verb.add_option("--from-step", from_step_, "First step that is patched: the later, the more of the source stays")->capture_default_str();
  verb.add_option("--to-step", to_step_, "First step that is not patched any more");
  verb.add_option("--strength", strength_, "How far keys and values go from the source's, 0, to the target's, 1")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  return sites;
}

PatchPlan PlanOptions::plan(const SiteTable& table, const std::vector<int>& sites) const {
  const Streams streams = parse_streams(streams_);
  const std::vector<int> chosen = sites_.empty() ? sites : parse_sites(sites_, table);
  std::string named;
  for (const auto& text : heads_) {
    if (text.find(':') == std::string::npos) reject("'" + text + "' names no site", "--heads", "Write for example 5:0,2");
    named += text + ";";
  }
  auto heads = parse_heads(named, chosen, table);
  std::vector<SitePatch> patches;
  for (const int site : chosen)
    patches.push_back(
        {.site = site, .prompt = 1, .heads = heads[site], .streams = streams, .from_step = from_step_, .to_step = to_step_, .strength = strength_});
  return PatchPlan(std::move(patches));
}

}  // namespace glyphscope::cli
