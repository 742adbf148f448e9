#include "app/cli/plan_options.h"

namespace glyphscope::cli {

CLI::Option* PlanOptions::add(CLI::App& verb) {
  CLI::Option* sites = verb.add_option("--sites", sites_, sites_help_);
  verb.add_option("--heads", heads_, "Only these heads of a site, for example 5:0,2 (repeatable)");
  verb.add_option("--streams", streams_, "kv, k or v")->capture_default_str();
  verb.add_option("--tokens", tokens_, "Only these of the prompt's tokens: text (in double quotes), words (the others), marks (begin and end), padding")
      ->delimiter(',');
  verb.add_option("--encoders", encoders_, "Only the tokens of these text encoders, where a site reads several: clip, t5")->delimiter(',');
  verb.add_option("--part", part_, "prompt, or, as a control, what is beside it in a site's block: picture (its own keys and values) or mlp")
      ->capture_default_str();
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
  std::vector<TokenGroup> tokens;
  for (const auto& name : tokens_) tokens.push_back(parse_token_group(name));
  std::vector<TokenEncoder> encoders;
  for (const auto& name : encoders_) encoders.push_back(parse_token_encoder(name));
  std::vector<SitePatch> patches;
  for (const int site : chosen)
    patches.push_back({.site = site,
                       .part = parse_block_part(part_),
                       .prompt = 1,
                       .heads = heads[site],
                       .streams = streams,
                       .from_step = from_step_,
                       .to_step = to_step_,
                       .tokens = tokens,
                       .encoders = encoders,
                       .strength = strength_});
  return PatchPlan(std::move(patches));
}

}  // namespace glyphscope::cli
