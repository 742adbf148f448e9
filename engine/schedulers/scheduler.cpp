#include "schedulers/scheduler.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "core/error.h"

namespace glyphscope {

namespace {

struct Entry {
  const char* name;
  const char* class_name;
  std::unique_ptr<Scheduler> (*make)(const Config&);
  bool flow = false;  // it goes with models that predict a flow, and no other does
};

constexpr Entry kSchedulers[] = {
    {"ddim", "DDIMScheduler", make_ddim},
    {"ddpm", "DDPMScheduler", make_ddpm},
    {"euler", "EulerDiscreteScheduler", make_euler},
    {"pndm", "PNDMScheduler", make_pndm},
    {"dpm++", "DPMSolverMultistepScheduler", make_dpm_solver},
    {"flow", "FlowMatchEulerDiscreteScheduler", make_flow_euler, /*flow=*/true},
};

const Entry* find_class(const std::string& class_name) {
  const auto* found = std::find_if(std::begin(kSchedulers), std::end(kSchedulers), [&](const Entry& entry) { return entry.class_name == class_name; });
  return found == std::end(kSchedulers) ? nullptr : found;
}

}  // namespace

bool is_flow(const Config& config) {
  const Entry* entry = find_class(config.text("_class_name", ""));
  return entry && entry->flow;
}

// Most models' own scheduler does not go back; ddim does, by the same noise schedule. A flow goes back as it came.
std::string reversible_scheduler(const std::string& class_name) {
  const Entry* entry = find_class(class_name);
  return entry && entry->flow ? "" : "ddim";
}

torch::Tensor SchedulerRun::draw_noise() const {
  if (!noise_) reject("this scheduler adds noise at each step, and was given none", "scheduler");
  return noise_();
}

torch::Tensor SchedulerRun::step_back(const torch::Tensor&, size_t, const torch::Tensor&) const {
  reject("this scheduler's steps cannot be gone back", "scheduler", "ddim and flow can");
}

const std::vector<std::string>& scheduler_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> out;
    for (const auto& entry : kSchedulers) out.emplace_back(entry.name);
    return out;
  }();
  return names;
}

std::unique_ptr<Scheduler> make_scheduler(const Config& config, const std::string& name) {
  const std::string class_name = config.text("_class_name", "");
  const std::string spacing = config.text("timestep_spacing", "leading");
  if (spacing != "leading" && spacing != "linspace" && spacing != "trailing")
    reject("'timestep_spacing' is '" + spacing + "'", config.where(), "Known are linspace, leading and trailing");
  const bool flow_model = is_flow(config);
  std::string known;
  for (const auto& entry : kSchedulers) {
    known += std::string(known.empty() ? "" : ", ") + (name.empty() ? entry.class_name : entry.name);
    if (name.empty() ? class_name != entry.class_name : name != entry.name) continue;
    if (!name.empty() && entry.flow != flow_model)
      reject(std::string("the scheduler '") + name + "' does not fit a model trained with " + class_name, config.where(),
             flow_model ? "A flow-matching model takes 'flow' only" : "'flow' is for flow-matching models");
    return entry.make(config);
  }
  reject("unknown scheduler '" + (name.empty() ? class_name : name) + "'", config.where(), "Known are " + known);
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
      out.push_back(std::nearbyint(steps == 1 ? 0 : (total - 1) * (n - 1 - k) / (n - 1)));
    } else if (spacing == "leading") {
      const std::int64_t stride = length / steps;
      out.push_back(static_cast<double>((steps - 1 - i) * stride + offset));
    } else if (spacing == "trailing") {
      out.push_back(std::nearbyint(total - k * (total / n)) - 1);
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
