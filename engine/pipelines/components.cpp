#include "pipelines/components.h"

#include <torch/nn/module.h>

#include <algorithm>

#include "core/error.h"
#include "io/weights.h"
#include "models/block_stream.h"
#include "models/layers.h"

namespace glyphscope {

Components::Components(ModelFolder folder, std::vector<std::string> names, Opening opening)
    : folder_(std::move(folder)), names_(std::move(names)), opening_(std::move(opening)) {}

Components::~Components() = default;

bool Components::has(const std::string& name) const { return std::find(names_.begin(), names_.end(), name) != names_.end(); }

void Components::load(const std::string& component, torch::nn::Module& module, const std::function<std::string(const std::string&)>& rename) {
  std::vector<std::string> unused;
  auto stream = load_to(opening_.plan, component, module, folder_.weights(component), rename, opening_.cancel, &unused);
  if (!unused.empty()) {
    std::string first;
    for (size_t i = 0; i < unused.size() && i < 3; ++i) first += (i > 0 ? ", " : "") + unused[i];
    notes_.push_back("Of the weights of " + component + " " + std::to_string(unused.size()) + " are no part of the model, and are not used: " + first +
                     (unused.size() > 3 ? ", .." : ""));
  }
  if (stream) streams_.push_back(std::move(stream));
  count(component, module);
}

std::unique_ptr<BlockStream> load_to(const MemoryPlan& plan, const std::string& component, torch::nn::Module& module, const Weights& weights,
                                     const std::function<std::string(const std::string&)>& rename, const CancelToken& cancel,
                                     std::vector<std::string>* unused) {
  Placement placement = plan.placement(component);
  const double resident = plan.resident_share(component);
  const torch::Device device = placement.device;
  if (resident < 1) placement.device = torch::kCPU;
  auto foreign = load_weights(
      module, weights, {.placement = placement, .rename = rename, .keep_quantized = quantized_keeper(module, device, placement.dtype), .cancel = cancel});
  if (unused) *unused = std::move(foreign);
  return resident < 1 ? std::make_unique<BlockStream>(module, device, resident, cancel) : nullptr;
}

void Components::count(const std::string& component, torch::nn::Module& module) {
  if (folder_.beside_file(component)) notes_.push_back("The file holds no " + component + ": it is that of " + (folder_ / component).string());
  const Weights weights = folder_.weights(component);
  for (const auto& file : weights.files()) weight_files_.push_back(file);
  for (auto& parameter : module.parameters()) parameter.set_requires_grad(false);
  parameters_.emplace_back(component, count_parameters(module));
}

void Components::find_damaged() const {
  constexpr double kAbsurd = 1e6;  // of a weight
  for (const auto& [component, _] : parameters_) {
    const std::string& name = component;
    const auto weights = attempt([&] { return folder_.weights(name); });
    if (!weights) continue;
    for (const auto& [key, entry] : weights->entries()) {
      if (!c10::isFloatingType(entry.dtype)) continue;
      const torch::Tensor values = entry.read().to(torch::kFloat32);
      const std::string where = weights->where() + ", tensor " + key;
      if (!values.isfinite().all().item<bool>()) reject("the weights hold numbers that are not finite", where, "The file is damaged; get it again");
      if (values.numel() == 0) continue;
      const double largest = values.abs().max().item<double>();
      if (largest > kAbsurd) reject(c10::str("the weights hold numbers as large as ", largest), where, "The file is damaged; get it again");
    }
  }
}

}  // namespace glyphscope
