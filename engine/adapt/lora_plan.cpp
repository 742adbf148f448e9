#include "adapt/lora_plan.h"

#include <algorithm>
#include <utility>

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

std::vector<std::string> adapter_method_names() { return {"lora", "dora", "loha", "lokr"}; }

const char* adapter_method_name(AdapterMethod method) {
  switch (method) {
    case AdapterMethod::dora:
      return "dora";
    case AdapterMethod::loha:
      return "loha";
    case AdapterMethod::lokr:
      return "lokr";
    default:
      return "lora";
  }
}

AdapterMethod parse_adapter_method(const std::string& name) {
  for (const auto method : {AdapterMethod::lora, AdapterMethod::dora, AdapterMethod::loha, AdapterMethod::lokr})
    if (name == adapter_method_name(method)) return method;
  reject("'" + name + "' is no method of adapters that can be trained", "the method", "Known are lora, dora, loha and lokr");
}

namespace {

// The two factors of a side whose sum is least, the smaller one first.
std::pair<std::int64_t, std::int64_t> factors(std::int64_t side) {
  std::int64_t small = 1;
  for (std::int64_t one = 2; one * one <= side; ++one)
    if (side % one == 0) small = one;
  return {small, side / small};
}

}  // namespace

KroneckerSides kronecker_sides(std::int64_t outputs, std::int64_t inputs) {
  const auto [small_rows, large_rows] = factors(outputs);
  const auto [small_columns, large_columns] = factors(inputs);
  return {small_rows, small_columns, large_rows, large_columns};
}

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

std::int64_t LoraPlan::parameters(const AttentionProjection& layer) const {
  const std::int64_t rank = rank_at(layer.site), sides = layer.inputs + layer.outputs;
  switch (method) {
    case AdapterMethod::dora:
      return rank * sides + layer.outputs;
    case AdapterMethod::loha:
      return 2 * rank * sides;
    case AdapterMethod::lokr: {
      const KroneckerSides own = kronecker_sides(layer.outputs, layer.inputs);
      return own.small_rows * own.small_columns + (own.low_rank(rank) ? rank * (own.large_rows + own.large_columns) : own.large_rows * own.large_columns);
    }
    default:
      return rank * sides;
  }
}

std::int64_t LoraPlan::parameters(const std::vector<AttentionProjection>& layers) const {
  std::int64_t sum = 0;
  for (const auto& layer : layers)
    if (covers(layer)) sum += parameters(layer);
  return sum;
}

}  // namespace glyphscope
