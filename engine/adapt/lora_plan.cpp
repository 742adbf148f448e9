#include "adapt/lora_plan.h"

#include <algorithm>

#include "core/error.h"
#include "core/option.h"

namespace glyphscope {

namespace {

bool names(const std::string& group, const AttentionProjection& layer) {
  if (group == "kv") return layer.prompt_kv;
  if (group == "auto") return names(layer.own_prompt_kv ? "kv" : "paper", layer);
  if (group == "paper") return layer.name == "to_q" || layer.name == "to_k" || layer.name == "to_v" || layer.name == "to_out.0";
  return group == layer.name;
}

}  // namespace

bool LoraPlan::covers(const AttentionProjection& layer) const {
  if (!every_attention && std::find(sites.begin(), sites.end(), layer.site) == sites.end()) return false;
  return std::any_of(projections.begin(), projections.end(), [&](const std::string& group) { return names(group, layer); });
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
             option(Option::rank));
}

std::int64_t LoraPlan::parameters(const std::vector<AttentionProjection>& layers) const {
  std::int64_t sum = 0;
  for (const auto& layer : layers)
    if (covers(layer)) sum += rank_at(layer.site) * (layer.inputs + layer.outputs);
  return sum;
}

}  // namespace glyphscope
