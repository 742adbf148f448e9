#include "patching/patch_plan.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <sstream>

#include "core/error.h"
#include "core/option.h"
#include "core/random.h"

namespace glyphscope {

PatchPlan::PatchPlan(std::vector<SitePatch> patches) : patches_(std::move(patches)) {
  const auto settle = [](auto& list) {
    std::sort(list.begin(), list.end());
    list.erase(std::unique(list.begin(), list.end()), list.end());
  };
  for (auto& patch : patches_) {
    settle(patch.heads);
    settle(patch.tokens);
    settle(patch.encoders);
  }
  std::stable_sort(patches_.begin(), patches_.end(), [](const SitePatch& a, const SitePatch& b) { return a.site < b.site; });
}

PatchPlan PatchPlan::at_sites(const std::vector<int>& sites, int prompt, int from_step, int to_step) {
  std::vector<SitePatch> patches;
  for (int site : sites)
    patches.push_back({.site = site,
                       .part = BlockPart::prompt,
                       .prompt = prompt,
                       .heads = {},
                       .streams = Streams::key_value,
                       .from_step = from_step,
                       .to_step = to_step,
                       .tokens = {},
                       .encoders = {}});
  return PatchPlan(std::move(patches));
}

void PatchPlan::validate(const SiteTable& table, int prompts) const {
  const int count = static_cast<int>(table.sites.size());
  for (size_t i = 0; i < patches_.size(); ++i) {
    const SitePatch& patch = patches_[i];
    const std::string where = "patch " + std::to_string(i) + " of the plan";
    if (patch.site < 0 || patch.site >= count)
      reject("there is no site " + std::to_string(patch.site), where,
             "The model has sites 0 to " + std::to_string(count - 1) + "; " + option(Option::inspect) + " lists them");
    const int heads = table.sites[static_cast<size_t>(patch.site)].heads;
    for (int head : patch.heads)
      if (head < 0 || head >= heads)
        reject("site " + std::to_string(patch.site) + " has no head " + std::to_string(head), where, "Its heads are 0 to " + std::to_string(heads - 1));
    if (patch.prompt < 0 || patch.prompt >= prompts) reject("there is no prompt " + std::to_string(patch.prompt), where);
    if (patch.from_step < 0 || patch.from_step > patch.to_step)
      reject("steps " + std::to_string(patch.from_step) + " to " + std::to_string(patch.to_step) + " are no range", where, "The first step is 0");
    if (patch.part != BlockPart::prompt && !patch.whole())
      reject("heads, streams, tokens and strengths are of the prompt's K and V, not of the " + to_string(patch.part), where);
    if (const Site& site = table.sites[static_cast<size_t>(patch.site)];
        (patch.part == BlockPart::picture && !site.has_picture_kv) || (patch.part == BlockPart::mlp && !site.has_mlp))
      reject("the block of site " + std::to_string(patch.site) + " has no " + (patch.part == BlockPart::mlp ? "MLP" : "K and V of the picture"), where);
    if (!(patch.strength >= 0 && patch.strength <= 1)) reject("a strength of " + std::to_string(patch.strength) + " is not within 0 and 1", where);
  }
}

bool PatchPlan::beside_prompts() const {
  return std::any_of(patches_.begin(), patches_.end(), [](const SitePatch& patch) { return patch.part != BlockPart::prompt; });
}

std::string to_string(BlockPart part) { return part == BlockPart::prompt ? "prompt" : part == BlockPart::picture ? "picture" : "mlp"; }

BlockPart parse_block_part(const std::string& text) {
  for (const BlockPart part : {BlockPart::prompt, BlockPart::picture, BlockPart::mlp})
    if (text == to_string(part)) return part;
  reject("unknown part of a block '" + text + "'", "", "Known are prompt, picture and mlp");
}

std::string to_string(Streams streams) { return streams == Streams::key ? "k" : streams == Streams::value ? "v" : "kv"; }

Streams parse_streams(const std::string& text) {
  if (text == "kv") return Streams::key_value;
  if (text == "k") return Streams::key;
  if (text == "v") return Streams::value;
  reject("unknown streams '" + text + "'", "", "Known are kv, k and v");
}

nlohmann::ordered_json PatchPlan::to_json() const {
  auto out = nlohmann::ordered_json::array();
  for (const auto& patch : patches_) {
    nlohmann::ordered_json entry{{"site", patch.site}, {"prompt", patch.prompt}, {"streams", to_string(patch.streams)}, {"from_step", patch.from_step}};
    if (patch.part != BlockPart::prompt) entry["part"] = to_string(patch.part);
    if (!patch.heads.empty()) entry["heads"] = patch.heads;
    if (patch.to_step != SitePatch::kLastStep) entry["to_step"] = patch.to_step;
    for (const TokenGroup group : patch.tokens) entry["tokens"].push_back(to_string(group));
    for (const TokenEncoder encoder : patch.encoders) entry["encoders"].push_back(to_string(encoder));
    if (patch.strength != 1) entry["strength"] = patch.strength;
    out.push_back(std::move(entry));
  }
  return out;
}

PatchPlan PatchPlan::from_json(const nlohmann::json& json) {
  std::vector<SitePatch> patches;
  for (const auto& entry : json) {
    SitePatch patch;
    patch.site = entry.at("site").get<int>();
    patch.prompt = entry.at("prompt").get<int>();
    patch.streams = parse_streams(entry.at("streams").get<std::string>());
    patch.from_step = entry.at("from_step").get<int>();
    if (entry.contains("part")) patch.part = parse_block_part(entry["part"].get<std::string>());
    if (entry.contains("heads")) patch.heads = entry["heads"].get<std::vector<int>>();
    if (entry.contains("to_step")) patch.to_step = entry["to_step"].get<int>();
    if (entry.contains("tokens"))
      for (const auto& group : entry["tokens"]) patch.tokens.push_back(parse_token_group(group.get<std::string>()));
    if (entry.contains("encoders"))
      for (const auto& encoder : entry["encoders"]) patch.encoders.push_back(parse_token_encoder(encoder.get<std::string>()));
    if (entry.contains("strength")) patch.strength = entry["strength"].get<double>();
    patches.push_back(std::move(patch));
  }
  return PatchPlan(std::move(patches));
}

PatchPlan PatchPlan::at_sites(const std::vector<int>& sites, const std::map<int, std::vector<int>>& heads, double strength) {
  std::vector<SitePatch> patches = at_sites(sites, 1).patches();
  for (auto& patch : patches) {
    if (const auto found = heads.find(patch.site); found != heads.end()) patch.heads = found->second;
    patch.strength = strength;
  }
  return PatchPlan(std::move(patches));
}

std::map<int, std::vector<int>> heads_of(const PatchPlan& plan) {
  std::map<int, std::vector<int>> out;
  for (const auto& patch : plan.patches())
    if (!patch.heads.empty()) out[patch.site] = patch.heads;
  return out;
}

std::vector<int> sites_of(const PatchPlan& plan) {
  std::vector<int> out;
  for (const auto& patch : plan.patches())
    if (out.empty() || out.back() != patch.site) out.push_back(patch.site);
  return out;
}

std::vector<int> parse_sites(const std::string& text, const SiteTable& table) {
  std::set<int> out;
  std::istringstream parts(text);
  std::string part;
  const int count = static_cast<int>(table.sites.size());
  while (std::getline(parts, part, ',')) {
    int first = 0, last = 0;
    const char *begin = part.data(), *end = part.data() + part.size();
    auto [middle, error] = std::from_chars(begin, end, first);
    last = first;
    if (error == std::errc() && middle != end && *middle == '-') {
      auto [stop, failed] = std::from_chars(middle + 1, end, last);
      middle = stop, error = failed;
    }
    if (error != std::errc() || middle != end)
      reject("'" + part + "' is neither a site nor a range of sites", option(Option::sites, text), "Write for example 5,7-9");
    if (first < 0 || last >= count || first > last)
      reject("'" + part + "' is not within the model's sites 0 to " + std::to_string(count - 1), option(Option::sites, text),
             option(Option::inspect) + " lists them");
    for (int site = first; site <= last; ++site) out.insert(site);
  }
  if (out.empty()) reject("no site is named", option(Option::sites, text), "Write for example 5,7-9");
  return {out.begin(), out.end()};
}

std::map<int, std::vector<int>> parse_heads(const std::string& text, const std::vector<int>& sites, const SiteTable& table) {
  std::map<int, std::vector<int>> out;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ';');) {
    std::erase(part, ' ');
    if (part.empty()) continue;
    std::vector<int> own = sites;
    std::string list = part;
    if (const size_t colon = part.find(':'); colon != std::string::npos) {
      own = parse_sites(part.substr(0, colon), table);
      list = part.substr(colon + 1);
      for (const int site : own)
        if (std::find(sites.begin(), sites.end(), site) == sites.end())
          reject("heads are named of site " + std::to_string(site) + ", which is not among the sites", "heads " + part);
    }
    for (const int site : own) {
      SiteTable heads;  // heads are numbered as sites are
      heads.sites.resize(static_cast<size_t>(table.sites[static_cast<size_t>(site)].heads));
      const auto read = attempt([&] { return parse_sites(list, heads); });
      if (!read)
        reject("'" + list + "' names no heads of site " + std::to_string(site) + ", which has 0 to " + std::to_string(heads.sites.size() - 1), "heads " + part,
               "Write for example 0,2, or 5:0,2 for those of one site");
      out[site] = *read;
    }
  }
  return out;
}

std::string format_heads(const std::map<int, std::vector<int>>& heads) {
  std::string out;
  for (const auto& [site, list] : heads) out += (out.empty() ? "" : "; ") + std::to_string(site) + ":" + format_sites(list);
  return out;
}

std::string format_sites(const std::vector<int>& sites) {
  std::string out;
  for (size_t i = 0; i < sites.size();) {
    size_t j = i;
    while (j + 1 < sites.size() && sites[j + 1] == sites[j] + 1) ++j;
    out += (out.empty() ? "" : ",") + std::to_string(sites[i]);
    if (j == i + 1) out += "," + std::to_string(sites[j]);
    if (j > i + 1) out += "-" + std::to_string(sites[j]);
    i = j + 1;
  }
  return out;
}

std::vector<std::vector<int>> random_site_sets(const std::vector<int>& sites, const std::vector<int>& set, int count, std::uint64_t seed) {
  constexpr int kTries = 100;
  Choice choice(seed);
  std::vector<std::vector<int>> out;
  for (int tries = 0; static_cast<int>(out.size()) < count && tries < kTries; ++tries) {
    std::vector<int> left = sites, drawn;
    for (size_t k = 0; k < std::min(set.size(), sites.size()); ++k) {
      const auto at = static_cast<size_t>(choice.below(static_cast<int>(left.size())));
      drawn.push_back(left[at]);
      left.erase(left.begin() + static_cast<std::ptrdiff_t>(at));
    }
    std::sort(drawn.begin(), drawn.end());
    if (drawn != set && std::find(out.begin(), out.end(), drawn) == out.end()) out.push_back(drawn);
  }
  return out;
}

}  // namespace glyphscope
