#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "patching/patch_plan.h"

namespace glyphscope {

/// Whose K and V each head of each batch row gets at a site, [rows, heads] each.
struct HeadChoice {
  torch::Tensor key, value;                    ///< Indices into some list of them, int32.
  torch::Tensor own;                           ///< The same of what it has without any plan.
  torch::Tensor key_strength, value_strength;  ///< How far it goes from its own to what it gets, fp32. Undefined: all the way, everywhere.
  torch::Tensor key_tokens, value_tokens;      ///< Which tokens get them, bool [rows, heads, tokens]; others are its own. Undefined: all.
  bool patched = false;                        ///< Some head sees another prompt than its row's own.
};

/// Which tokens of a row's prompt a patch replaces, true; as many as the prompt's embedding has.
using RowTokens = std::function<std::vector<bool>(const SitePatch& patch)>;

/// Those of all sites. They change only where a patch begins or ends, and then go to the device together: copies do not grow with sites or rows.
class HeadChoices {
 public:
  struct Row {
    int own = 0;                            ///< Its index.
    const PatchPlan* plan = nullptr;        ///< Must outlive this; null: nothing.
    std::function<int(int prompt)> source;  ///< The index of what it sees in place of its own, where a patch sees that prompt.
    RowTokens tokens = {};                  ///< Asked for patches of some tokens only.
  };
  HeadChoices(const SiteTable& table, std::vector<Row> rows);

  void begin_step(int step);
  /// Counts the changes.
  std::int64_t version() const { return version_; }
  /// Whether a patch of that prompt is at work at the site.
  bool sees(int site, int prompt) const;
  const HeadChoice& at(int site, torch::Device device);

 private:
  void build(torch::Device device);

  std::vector<std::int64_t> heads_;  // by site
  std::vector<Row> rows_;
  std::vector<std::vector<bool>> active_;  // by row and patch
  std::int64_t version_ = 0, built_ = 0;
  std::vector<HeadChoice> choices_;  // by site
};

}  // namespace glyphscope
