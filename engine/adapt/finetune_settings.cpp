#include "adapt/finetune_settings.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "core/error.h"
#include "core/option.h"

namespace glyphscope {
using nlohmann::ordered_json;

RateSchedule parse_rate_schedule(const std::string& name) {
  for (auto one : {RateSchedule::constant, RateSchedule::linear, RateSchedule::cosine})
    if (name == rate_schedule_name(one)) return one;
  reject("unknown learning rate schedule '" + name + "'", option(Option::schedule), "Known are constant, linear and cosine");
}

const char* rate_schedule_name(RateSchedule schedule) {
  return schedule == RateSchedule::constant ? "constant" : schedule == RateSchedule::linear ? "linear" : "cosine";
}

double learning_rate(double top, RateSchedule schedule, std::int64_t step, std::int64_t warmup, std::int64_t steps) {
  if (step < warmup) return top * static_cast<double>(step) / static_cast<double>(warmup);
  if (schedule == RateSchedule::constant) return top;
  const double done = static_cast<double>(step - warmup) / static_cast<double>(std::max<std::int64_t>(1, steps - warmup));
  return top * std::max(0.0, schedule == RateSchedule::linear ? 1 - done : 0.5 * (1 + std::cos(std::numbers::pi * done)));
}

ordered_json FinetuneSettings::to_json() const {
  ordered_json out{{"sites", plan.sites},
                   {"every_attention", plan.every_attention},
                   {"projections", plan.projections},
                   {"rank", plan.rank},
                   {"alpha", plan.alpha > 0 ? ordered_json(plan.alpha) : ordered_json("rank")},
                   {"ranks", plan.ranks},
                   {"init", plan.init == LoraInit::gaussian ? "gaussian" : "kaiming"},
                   {"batch", batch},
                   {"accumulate", accumulate},
                   {"resolution", resolution},
                   {"rate", rate},
                   {"schedule", rate_schedule_name(schedule)},
                   {"warmup", warmup},
                   {"betas", {beta1, beta2}},
                   {"eps", eps},
                   {"weight_decay", weight_decay},
                   {"clip_norm", clip_norm},
                   {"dropout", dropout},
                   {"caption_dropout", caption_dropout},
                   {"snr_gamma", snr_gamma},
                   {"checkpointing", checkpointing},
                   {"held_out", held_out},
                   {"seed", seed}};
  if (plan.scale > 0) out["scale"] = plan.scale;
  if (plan.method != AdapterMethod::lora) out["method"] = adapter_method_name(plan.method);
  if (!text_encoders.empty()) out["text_encoders"] = text_encoders;
  // A rate that falls falls towards the last step.
  if (schedule != RateSchedule::constant) out["steps"] = steps;
  return out;
}

FinetuneSettings FinetuneSettings::parse(const nlohmann::json& json) {
  FinetuneSettings out;
  LoraPlan& plan = out.plan;
  try {
    json.at("sites").get_to(plan.sites);
    json.at("every_attention").get_to(plan.every_attention);
    json.at("projections").get_to(plan.projections);
    json.at("rank").get_to(plan.rank);
    plan.alpha = json.at("alpha").is_number() ? json["alpha"].get<double>() : 0;
    json.at("ranks").get_to(plan.ranks);
    plan.init = json.at("init") == "kaiming" ? LoraInit::kaiming : LoraInit::gaussian;
    plan.scale = json.value("scale", 0.0);
    plan.method = parse_adapter_method(json.value("method", "lora"));
    out.text_encoders = json.value("text_encoders", out.text_encoders);
    json.at("batch").get_to(out.batch);
    json.at("accumulate").get_to(out.accumulate);
    json.at("resolution").get_to(out.resolution);
    json.at("rate").get_to(out.rate);
    out.schedule = parse_rate_schedule(json.at("schedule").get<std::string>());
    json.at("warmup").get_to(out.warmup);
    json.at("betas").at(0).get_to(out.beta1);
    json.at("betas").at(1).get_to(out.beta2);
    json.at("eps").get_to(out.eps);
    json.at("weight_decay").get_to(out.weight_decay);
    json.at("clip_norm").get_to(out.clip_norm);
    json.at("dropout").get_to(out.dropout);
    json.at("caption_dropout").get_to(out.caption_dropout);
    json.at("snr_gamma").get_to(out.snr_gamma);
    json.at("checkpointing").get_to(out.checkpointing);
    json.at("held_out").get_to(out.held_out);
    json.at("seed").get_to(out.seed);
    out.steps = json.value("steps", out.steps);
  } catch (const nlohmann::json::exception& error) {
    reject("these are not the settings of a training: " + json_message(error), "settings.json");
  }
  return out;
}

}  // namespace glyphscope
