#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "patching/site.h"
#include "patching/token_groups.h"

namespace glyphscope {

/// Which of a prompt's two streams are replaced.
enum class Streams { key_value, key, value };

/// What of a site's block is patched: the layer that reads the prompt, or, as controls, others beside it.
enum class BlockPart {
  prompt,   ///< K and V of the prompt: what the site is.
  picture,  ///< K and V that the picture makes of itself: self-attention, or its part of joint attention.
  mlp,      ///< What the block's MLPs give.
};

/// At one site, some heads see another prompt for some steps.
struct SitePatch {
  static constexpr int kLastStep = std::numeric_limits<int>::max();

  int site = 0;
  BlockPart part = BlockPart::prompt;  ///< Others than the prompt are taken whole from the other prompt's run, which goes on in lockstep.
  int prompt = 0;                      ///< Which prompt it sees: an index into the prompts of the run.
  std::vector<int> heads;              ///< Empty: all of them.
  Streams streams = Streams::key_value;
  int from_step = 0;        ///< First denoising step that is patched.
  int to_step = kLastStep;  ///< First step that is not patched any more.
  /// Which of the prompt's tokens: of these groups, as these encoders read them. Empty: all.
  std::vector<TokenGroup> tokens;
  std::vector<TokenEncoder> encoders;
  double strength = 1;  ///< How far K and V go from the row's own (0) to those of the prompt it sees (1).

  /// Of other parts than the prompt there are no heads, streams, tokens or strengths.
  bool whole() const { return heads.empty() && streams == Streams::key_value && all_tokens() && strength == 1; }
  bool all_tokens() const { return tokens.empty() && encoders.empty(); }
  bool active(int step) const { return step >= from_step && step < to_step; }
  bool operator==(const SitePatch&) const = default;
};

/// What one row of a run sees instead of its own prompt. A value.
class PatchPlan {
 public:
  PatchPlan() = default;
  /// Sorts by site and, within one, keeps the order given: a later patch overrides an earlier one at the heads and steps where both apply, at all tokens.
  explicit PatchPlan(std::vector<SitePatch> patches);
  /// The same prompt at each of these sites.
  static PatchPlan at_sites(const std::vector<int>& sites, int prompt, int from_step = 0, int to_step = SitePatch::kLastStep);
  /// Prompt 1 at each of these sites: at these heads, all where a site is not named; so far from the row's own.
  static PatchPlan at_sites(const std::vector<int>& sites, const std::map<int, std::vector<int>>& heads, double strength);

  const std::vector<SitePatch>& patches() const { return patches_; }
  /// Whether it patches anything beside prompts' K and V.
  bool beside_prompts() const;
  bool empty() const { return patches_.empty(); }
  bool operator==(const PatchPlan&) const = default;

  /// Throws a Failure that names the first entry that does not fit the model or the run.
  void validate(const SiteTable& sites, int prompts) const;

  nlohmann::ordered_json to_json() const;
  static PatchPlan from_json(const nlohmann::json& json);

 private:
  std::vector<SitePatch> patches_;
};

/// The sites of a plan, sorted, each once.
std::vector<int> sites_of(const PatchPlan& plan);
/// Its heads by site; a site with all of its heads is left out.
std::map<int, std::vector<int>> heads_of(const PatchPlan& plan);

/// Site indices as people write them: "5,7-9". Throws a Failure that names the part that is wrong. Sorted, no repeats.
std::vector<int> parse_sites(const std::string& text, const SiteTable& sites);

/// Heads as people write them: "0,2" of each of `sites`, or "5:0,2" of one of them; several parts with ";" between. By site; a site that is not named has
/// all of its heads. Throws a Failure that names the part that is wrong.
std::map<int, std::vector<int>> parse_heads(const std::string& text, const std::vector<int>& sites, const SiteTable& table);
/// The reverse; "" where all sites have all heads.
std::string format_heads(const std::map<int, std::vector<int>>& heads);

/// Up to `count` different sets as large as `set`, and other than it, drawn from `sites`.
std::vector<std::vector<int>> random_site_sets(const std::vector<int>& sites, const std::vector<int>& set, int count, std::uint64_t seed);
/// The reverse: {5, 7, 8, 9} -> "5,7-9".
std::string format_sites(const std::vector<int>& sites);

std::string to_string(BlockPart part);
/// "prompt", "picture" or "mlp". Throws a Failure.
BlockPart parse_block_part(const std::string& text);
std::string to_string(Streams streams);
/// "kv", "k" or "v".
Streams parse_streams(const std::string& text);

}  // namespace glyphscope
