#include "adapt/lora_plan.h"

#include <algorithm>

#include "core/error.h"

namespace glyphscope {

bool LoraPlan::covers(const AttentionProjection& layer) const {
  if (!every_attention && std::find(sites.begin(), sites.end(), layer.site) == sites.end()) return false;
  return std::any_of(projections.begin(), projections.end(), [&](const std::string& name) { return name == layer.name || (name == "kv" && layer.prompt_kv); });
}

std::int64_t LoraPlan::rank_at(int site) const {
  const auto own = ranks.find(site);
  return own == ranks.end() ? rank : own->second;
}

double LoraPlan::alpha_at(int site) const {
  const auto own = static_cast<double>(rank_at(site));
  return scale > 0 ? scale * own : alpha > 0 ? alpha : own;
}

void LoraPlan::check_ranks(const std::vector<AttentionProjection>& layers) const {
  for (const auto& layer : layers)
    if (const std::int64_t own = rank_at(layer.site); covers(layer) && (own < 1 || own > std::min(layer.inputs, layer.outputs)))
      reject("a rank of " + std::to_string(own) + " does not go with " + layer.path + ", a layer of " + std::to_string(layer.outputs) + " x " +
                 std::to_string(layer.inputs),
             "--rank");
}

std::int64_t LoraPlan::parameters(const std::vector<AttentionProjection>& layers) const {
  std::int64_t sum = 0;
  for (const auto& layer : layers)
    if (covers(layer)) sum += rank_at(layer.site) * (layer.inputs + layer.outputs);
  return sum;
}

}  // namespace glyphscope
