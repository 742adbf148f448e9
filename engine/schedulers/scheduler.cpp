#include "schedulers/scheduler.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "core/error.h"
#include "core/option.h"

namespace glyphscope {

namespace {

struct Entry {
  const char* name;
  const char* class_name;
  std::unique_ptr<Scheduler> (*make)(const Config&);
  bool has_curves = false;  // use_karras_sigmas and its like
  bool noise = true, flow = false, edm = false;
  const char* algorithm = nullptr;  // algorithm_type that goes with the name
};

constexpr Entry kSchedulers[] = {
    {"ddim", "DDIMScheduler", make_ddim},
    {"ddpm", "DDPMScheduler", make_ddpm},
    {"deis", "DEISMultistepScheduler", make_deis, true, true, /*flow=*/true},
    {"dpm++", "DPMSolverMultistepScheduler", make_dpm_solver, true, true, /*flow=*/true, false, "dpmsolver++"},
    {"dpm++-sde", "DPMSolverMultistepScheduler", make_dpm_solver, true, true, /*flow=*/true, false, "sde-dpmsolver++"},
    {"dpm++-single", "DPMSolverSinglestepScheduler", make_dpm_solver_single, true, true, /*flow=*/true, false, "dpmsolver++"},
    {"dpm-sde", "DPMSolverSDEScheduler", make_dpm_sde, true},
    {"dpm2", "KDPM2DiscreteScheduler", make_dpm2, true},
    {"dpm2-a", "KDPM2AncestralDiscreteScheduler", make_dpm2_ancestral, true},
    {"edm", "EDMEulerScheduler", make_edm_euler, false, false, false, /*edm=*/true},
    {"edm-dpm++", "EDMDPMSolverMultistepScheduler", make_edm_dpm_solver, false, false, false, /*edm=*/true},
    {"euler", "EulerDiscreteScheduler", make_euler, true},
    {"euler-a", "EulerAncestralDiscreteScheduler", make_euler_ancestral},
    {"flow", "FlowMatchEulerDiscreteScheduler", make_flow_euler, true, false, /*flow=*/true},
    {"flow-heun", "FlowMatchHeunDiscreteScheduler", make_flow_heun, false, false, /*flow=*/true},
    {"flow-lcm", "FlowMatchLCMScheduler", make_flow_lcm, true, false, /*flow=*/true},
    {"heun", "HeunDiscreteScheduler", make_heun, true},
    {"lcm", "LCMScheduler", make_lcm},
    {"lms", "LMSDiscreteScheduler", make_lms, true},
    {"pndm", "PNDMScheduler", make_pndm},
    {"sa", "SASolverScheduler", make_sa_solver, true, true, /*flow=*/true, false, "data_prediction"},
    {"tcd", "TCDScheduler", make_tcd},
    {"unipc", "UniPCMultistepScheduler", make_unipc, true, true, /*flow=*/true},
};

constexpr std::pair<const char*, const char*> kCurves[] = {
    {"-karras", "use_karras_sigmas"}, {"-exponential", "use_exponential_sigmas"}, {"-beta", "use_beta_sigmas"}};

bool fits(const Entry& entry, DenoiserKind kind) { return kind == DenoiserKind::edm ? entry.edm : kind == DenoiserKind::flow ? entry.flow : entry.noise; }

template <class Condition>
const Entry* find(Condition condition) {
  const auto* found = std::find_if(std::begin(kSchedulers), std::end(kSchedulers), condition);
  return found == std::end(kSchedulers) ? nullptr : found;
}

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const auto& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

// The configuration with what goes with another class's scheduler.
Config changed(const Config& config, const Entry& entry, const char* curve, DenoiserKind kind) {
  nlohmann::json out = config.json();
  const bool same = config.text("_class_name", "") == entry.class_name;
  // Of its own class a configuration keeps its algorithm, but for whether it adds noise.
  const std::string own = config.text("algorithm_type", "");
  if (entry.algorithm && !(same && own.starts_with("sde-") == std::string(entry.algorithm).starts_with("sde-"))) out["algorithm_type"] = entry.algorithm;
  if (curve)
    for (const auto& [suffix, key] : kCurves) out[key] = curve == key;
  const std::string class_name = config.text("_class_name", "");
  if (kind == DenoiserKind::flow && !std::string(entry.class_name).starts_with("FlowMatch") && class_name.starts_with("FlowMatch")) {
    // As diffusers' documents have it: the solver shifts as the model's own scheduler does.
    out["use_flow_sigmas"] = true;
    out["prediction_type"] = "flow_prediction";
    out["flow_shift"] = config.number("shift", 1.0);
  } else if (kind == DenoiserKind::flow && class_name.find("FlowMatch") == std::string::npos) {
    out["shift"] = config.number("flow_shift", 1.0);
  }
  return {out, config.where()};
}

}  // namespace

DenoiserKind denoiser_kind(const Config& config) {
  const std::string class_name = config.text("_class_name", "");
  if (class_name.starts_with("EDM")) return DenoiserKind::edm;
  return class_name.starts_with("FlowMatch") || config.boolean("use_flow_sigmas", false) ? DenoiserKind::flow : DenoiserKind::noise;
}

// Most models' own scheduler does not go back; ddim does, by the same noise schedule, and flow and edm as they came.
std::string reversible_scheduler(const Config& config) {
  switch (denoiser_kind(config)) {
    case DenoiserKind::flow:
      return config.text("_class_name", "") == "FlowMatchEulerDiscreteScheduler" ? "" : "flow";
    case DenoiserKind::edm:
      return "edm";
    default:
      return "ddim";
  }
}

torch::Tensor SchedulerRun::draw_noise() const {
  if (!noise_) reject("this scheduler adds noise at each step, and was given none", "scheduler");
  return noise_();
}

torch::Tensor SchedulerRun::step_back(const torch::Tensor&, size_t, const torch::Tensor&) const {
  reject("this scheduler's steps cannot be gone back", "scheduler", "ddim, flow and edm can");
}

std::vector<std::string> scheduler_names() {
  std::vector<std::string> out;
  for (const auto& entry : kSchedulers) out.emplace_back(entry.name);
  return out;
}

std::vector<std::string> scheduler_names(DenoiserKind kind) {
  std::vector<std::string> out;
  for (const auto& entry : kSchedulers)
    if (fits(entry, kind)) out.emplace_back(entry.name);
  return out;
}

std::unique_ptr<Scheduler> make_scheduler(const Config& config, const std::string& name) {
  const std::string class_name = config.text("_class_name", ""), spacing = config.text("timestep_spacing", "leading");
  if (spacing != "leading" && spacing != "linspace" && spacing != "trailing")
    reject("'timestep_spacing' is '" + spacing + "'", config.where(), "Known are linspace, leading and trailing");
  if (name.empty()) {
    // Variants for many devices at once take the same steps.
    std::string plain = class_name;
    if (const size_t at = plain.find("Parallel"); at != std::string::npos) plain.erase(at, std::string("Parallel").size());
    if (const Entry* own = find([&](const Entry& entry) { return entry.class_name == plain; })) return own->make(config);
    std::string known;
    for (const auto& entry : kSchedulers)
      if (!entry.algorithm || std::string(entry.algorithm) != "sde-dpmsolver++") known += std::string(known.empty() ? "" : ", ") + entry.class_name;
    reject("unknown scheduler '" + class_name + "'", config.where(), option(Option::scheduler) + " takes another in its place. Known are " + known);
  }
  std::string base = name;
  const char* curve = nullptr;
  for (const auto& [suffix, key] : kCurves)
    if (name.ends_with(suffix)) {
      base = name.substr(0, name.size() - std::string(suffix).size());
      curve = key;
    }
  const Entry* entry = find([&](const Entry& one) { return one.name == base; });
  if (!entry) reject("unknown scheduler '" + name + "'", config.where(), "Known are " + joined(scheduler_names()));
  if (curve && !entry->has_curves) reject("the scheduler '" + base + "' has no spacing '" + name.substr(base.size() + 1) + "'", config.where());
  const DenoiserKind kind = denoiser_kind(config);
  if (!fits(*entry, kind))
    reject("the scheduler '" + base + "' does not fit a model trained with " + class_name, config.where(), "It takes " + joined(scheduler_names(kind)));
  return entry->make(changed(config, *entry, curve, kind));
}

Thresholding Thresholding::parse(const Config& config) {
  return {config.boolean("thresholding", false), config.number("dynamic_thresholding_ratio", 0.995), config.number("sample_max_value", 1.0)};
}

torch::Tensor Thresholding::apply(const torch::Tensor& clean) const {
  if (!on) return clean;
  const torch::Tensor limit = at::quantile(clean.flatten(1).abs(), ratio, 1).clamp(1, largest).view({-1, 1, 1, 1});
  return at::clamp(clean, -limit, limit) / limit;
}

void check_steps(std::int64_t steps, std::int64_t length) {
  if (steps < 1 || steps > length) reject("the number of steps is " + std::to_string(steps) + ", expected 1 to " + std::to_string(length));
}

std::vector<double> spaced_timesteps(const std::string& spacing, std::int64_t steps, std::int64_t length, std::int64_t offset) {
  std::vector<double> out;
  const double n = static_cast<double>(steps), total = static_cast<double>(length);
  for (std::int64_t i = 0; i < steps; ++i) {
    const double k = static_cast<double>(i);
    // nearbyint rounds halves to even, as numpy does.
    if (spacing == "linspace") {
      // By a stride, as numpy does: a half may be a little less than one.
      out.push_back(std::nearbyint(steps == 1 ? 0 : k == 0 ? total - 1 : (n - 1 - k) * ((total - 1) / (n - 1))));
    } else if (spacing == "leading") {
      const std::int64_t stride = length / steps;
      out.push_back(static_cast<double>((steps - 1 - i) * stride + offset));
    } else if (spacing == "trailing") {
      out.push_back(std::nearbyint(total + k * ((total - total / n) - total)) - 1);  // as numpy's arange steps
    } else {
      reject("unknown timestep_spacing '" + spacing + "'", "scheduler", "Known are linspace, leading and trailing");
    }
  }
  if (out.front() >= total || out.back() < 0)
    reject(std::to_string(steps) + " steps with timestep_spacing '" + spacing + "' and steps_offset " + std::to_string(offset) + " leave the schedule's " +
               std::to_string(length) + " timesteps",
           "scheduler", "Use fewer steps");
  return out;
}

double interpolate(const torch::Tensor& table, double index) {
  const std::int64_t last = table.size(0) - 1;
  if (index <= 0) return table[0].item<double>();
  if (index >= static_cast<double>(last)) return table[last].item<double>();
  const auto low = static_cast<std::int64_t>(index);
  const double fraction = index - static_cast<double>(low), a = table[low].item<double>();
  return a + fraction * (table[low + 1].item<double>() - a);
}

}  // namespace glyphscope
