#include "adapt/lora_plan.h"

#include <algorithm>

namespace glyphscope {

bool LoraPlan::covers(const AttentionProjection& layer) const {
  if (!every_attention && std::find(sites.begin(), sites.end(), layer.site) == sites.end()) return false;
  return std::any_of(projections.begin(), projections.end(), [&](const std::string& name) { return name == layer.name || (name == "kv" && layer.prompt_kv); });
}

std::int64_t LoraPlan::rank_at(int site) const {
  const auto own = ranks.find(site);
  return own == ranks.end() ? rank : own->second;
}

std::int64_t LoraPlan::parameters(const std::vector<AttentionProjection>& layers) const {
  std::int64_t sum = 0;
  for (const auto& layer : layers)
    if (covers(layer)) sum += rank_at(layer.site) * (layer.inputs + layer.outputs);
  return sum;
}

}  // namespace glyphscope
