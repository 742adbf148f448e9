#include "experiments/variant.h"

#include <cmath>
#include <limits>

#include "core/error.h"
#include "metrics/scores.h"

namespace glyphscope {
using nlohmann::ordered_json;

ordered_json MeasuredVariant::to_json() const {
  ordered_json values;
  for (const auto& [name, value] : scores) values[name] = std::isfinite(value) ? ordered_json(value) : ordered_json(nullptr);
  ordered_json out{
      {"variant", variant.label}, {"base", variant.base == 0 ? "A" : "B"}, {"sites", variant.sites()}, {"plan", variant.plan.to_json()}, {"read", read},
      {"scores", values}};
  if (!picture.empty()) out["picture"] = picture;
  return out;
}

MeasuredVariant MeasuredVariant::from_json(const nlohmann::json& json) {
  MeasuredVariant out{{json.at("read").get<std::string>(), {}}, {}, json.value("picture", "")};
  const std::string base = json.at("base");
  if (base != "A" && base != "B") reject("a picture's base is '" + base + "', and can only be A or B");
  out.variant = {json.at("variant").get<std::string>(), PatchPlan::from_json(json.at("plan")), base == "A" ? 0 : 1};
  for (const auto& [name, value] : json.at("scores").items()) {
    const double score = value.is_null() ? std::numeric_limits<double>::infinity() : value.get<double>();
    // Of a score that is not known, as another version measured it, nothing is said.
    if (const ScoreInfo* info = find_score(name); info && (score < info->low || score > info->high))
      reject("the score " + name + " is " + std::to_string(score) + ", and can only be from " + std::to_string(info->low) + " to " +
             std::to_string(info->high));
    out.scores[name] = score;
  }
  return out;
}

}  // namespace glyphscope
