#include "experiments/run_settings.h"

#include <torch/types.h>

#include "io/weights.h"

namespace glyphscope {
using nlohmann::ordered_json;

ordered_json RunSettings::to_json() const {
  ordered_json list = ordered_json::array();
  std::string bytes;  // prompts as they are: bytes that are no UTF-8 do not survive JSON
  for (const auto& pair : pairs) {
    list.push_back({{"source", pair.source}, {"target", pair.target}, {"source_text", pair.source_text}, {"target_text", pair.target_text}});
    if (!pair.attribute.empty()) list.back()["attribute"] = pair.attribute;
    for (const auto* text : {&pair.source, &pair.target}) bytes += std::to_string(text->size()) + ":" + *text;
  }
  ordered_json out{{"steps", sampling.steps},
                   {"guidance", sampling.guidance},
                   {"scheduler", sampling.scheduler},
                   {"negative", sampling.negative ? ordered_json(*sampling.negative) : ordered_json()},
                   {"width", sampling.width},
                   {"height", sampling.height},
                   {"method", method_name(sampling.method)},
                   {"clip_skip", sampling.clip_skip},
                   {"pooled", pooled_target ? "target" : "source"},
                   {"seeds", seeds},
                   {"pairs", list},
                   {"prompts_sha256", sha256_text(bytes)}};
  if (const auto enlarging = describe_enlarging(sampling); !enlarging.is_null()) out["enlarges"] = enlarging;
  if (!judges.is_null()) out["judges"] = judges;
  return out;
}

RunSettings RunSettings::from_json(const nlohmann::json& json, const std::string& where) {
  RunSettings out;
  try {
    for (const auto& one : json.at("pairs"))
      out.pairs.push_back({one.at("source").get<std::string>(), one.at("target").get<std::string>(), one.at("source_text").get<std::string>(),
                           one.at("target_text").get<std::string>(), one.value("attribute", std::string())});
    json.at("seeds").get_to(out.seeds);
    json.at("steps").get_to(out.sampling.steps);
    json.at("guidance").get_to(out.sampling.guidance);
    json.at("scheduler").get_to(out.sampling.scheduler);
    if (json.at("negative").is_string()) out.sampling.negative = json["negative"].get<std::string>();
    json.at("width").get_to(out.sampling.width);
    json.at("height").get_to(out.sampling.height);
    out.sampling.method = parse_method(json.at("method").get<std::string>());
    json.at("clip_skip").get_to(out.sampling.clip_skip);
    out.pooled_target = json.at("pooled") == "target";
    if (json.contains("judges")) out.judges = nlohmann::ordered_json(json["judges"]);
    if (json.contains("enlarges")) {
      out.sampling.noise_level = json["enlarges"].value("noise_level", out.sampling.noise_level);
      out.sampling.upscale_steps = json["enlarges"].value("steps", out.sampling.upscale_steps);
    }
  } catch (const nlohmann::json::exception& error) {
    reject("these are not the settings of a run: " + json_message(error), where);
  }
  if (nlohmann::json(out.to_json()) != json)
    reject("the run has settings that cannot be repeated from the file alone", where, "Go on with it by the settings that began it");
  return out;
}

std::vector<Cell> RunSettings::cells() const {
  std::vector<Cell> out;
  for (size_t pair = 0; pair < pairs.size(); ++pair)
    for (size_t noise = 0; noise < seeds.size(); ++noise) out.push_back({static_cast<int>(pair), static_cast<int>(noise)});
  return out;
}

Request cell_request(const RunSettings& settings, const Cell& cell, const std::vector<Variant>& variants) {
  Request request = settings.sampling;
  const PromptPair& pair = settings.pairs[static_cast<size_t>(cell.pair)];
  request.prompts = {pair.source, pair.target};
  for (const auto& variant : variants)
    request.rows.push_back(
        {variant.base, settings.seeds[static_cast<size_t>(cell.noise)], variant.plan, settings.pooled_target && !variant.plan.empty() ? 1 - variant.base : -1});
  return request;
}

Request own_request(const RunSettings& settings, const Cell& cell) { return cell_request(settings, cell, {own_picture(0), own_picture(1)}); }

}  // namespace glyphscope
