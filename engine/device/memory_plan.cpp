#include "device/memory_plan.h"

#include <algorithm>
#include <optional>

#include "core/error.h"
#include "core/option.h"
#include "device/cuda.h"
#include "device/devices.h"
#include "device/placement.h"

namespace glyphscope {

namespace {

// What computing takes beside weights: at least, for one small row; and so that there is room for some.
constexpr std::uint64_t kWorkBytes = std::uint64_t{256} << 20, kRoomyBytes = std::uint64_t{2} << 30;

std::uint64_t least(MemoryPlan plan) {
  plan.keeps_encoders = false;
  return std::max(plan.reading_bytes(), plan.drawing_bytes() + kWorkBytes);
}

std::uint64_t free_for(const DeviceInfo& device, const PlaceWishes& wishes) {
  return wishes.memory > 0 ? std::min(wishes.memory, device.free_bytes) : device.free_bytes;
}

MemoryPlan resident_on(const DeviceInfo& device, const std::vector<ComponentSize>& components, const PlaceWishes& wishes) {
  MemoryPlan plan{.device = device.device, .dtype = parse_dtype(wishes.dtype, device.computes_bf16), .components = components};
  plan.free = free_for(device, wishes);
  return plan;
}

// The plan on one device, if the model goes there.
std::optional<MemoryPlan> plan_on(const DeviceInfo& device, const std::vector<ComponentSize>& components, const PlaceWishes& wishes) {
  MemoryPlan plan = resident_on(device, components, wishes);
  if (least(plan) > plan.free) return std::nullopt;
  plan.keeps_encoders = plan.drawing_bytes() + kRoomyBytes <= plan.free;
  return plan;
}

std::uint64_t least_bytes(const DeviceInfo& device, const std::vector<ComponentSize>& components, const PlaceWishes& wishes) {
  return least(resident_on(device, components, wishes));
}

MemoryPlan on_cpu(const std::vector<ComponentSize>& components, const PlaceWishes& wishes, std::string reason, bool unexpected = false) {
  return {.dtype = parse_dtype(wishes.dtype),
          .components = components,
          .free = device_memory(torch::kCPU).free,
          .reason = std::move(reason),
          .unexpected = unexpected};
}

}  // namespace

Placement MemoryPlan::placement(const std::string& component) const {
  for (const auto& one : components)
    if (one.name == component) return {device, one.dtype(dtype)};
  return {device, dtype};
}

std::uint64_t MemoryPlan::bytes(const std::string& component) const {
  for (const auto& one : components)
    if (one.name == component) return one.bytes(dtype);
  return 0;
}

std::uint64_t MemoryPlan::reading_bytes() const {
  std::uint64_t sum = 0;
  for (const auto& one : components) sum += one.bytes(dtype);
  return sum;
}

std::uint64_t MemoryPlan::drawing_bytes() const {
  std::uint64_t sum = 0;
  for (const auto& one : components)
    if (keeps_encoders || !one.reads_prompts) sum += one.bytes(dtype);
  return sum;
}

torch::ScalarType parse_dtype(const std::string& name, bool computes_bf16) {
  // fp16 arithmetic is some 300 times slower than bf16 in the convolutions of a CPU, so "auto" computes in fp32 there.
  if (name == "auto") return computes_bf16 ? torch::kBFloat16 : torch::kFloat32;
  if (name == "fp32") return torch::kFloat32;
  if (name == "bf16") return torch::kBFloat16;
  if (name == "fp16") return torch::kFloat16;
  reject("unknown dtype '" + name + "'", option(Option::dtype), "Known are auto, fp32, bf16 and fp16");
}

MemoryPlan plan_memory(const std::vector<ComponentSize>& components, const PlaceWishes& wishes) {
  parse_dtype(wishes.dtype);
  // LibTorch looks for CUDA when it first computes, and never again: a model of later may want it.
  if (wishes.device == "cpu" && cuda_device_count() > 0) open_cuda();
  if (wishes.device == "cpu") return on_cpu(components, wishes, "");
  if (wishes.device != "auto") {
    const torch::Device wanted = parse_device(wishes.device);
    if (wanted.is_cpu()) return on_cpu(components, wishes, "");
    for (const auto& device : find_devices().all) {
      if (device.device != wanted) continue;
      if (auto plan = plan_on(device, components, wishes)) return *plan;
      const std::uint64_t free = free_for(device, wishes);
      throw Failure({ErrorCode::out_of_memory,
                     "the model needs at least " + memory_text(least_bytes(device, components, wishes)) + " of " + device.label() + ", which has " +
                         memory_text(free) + (wishes.memory > 0 ? " to give" : " free"),
                     option(Option::device, wishes.device),
                     "Use " + option(Option::dtype, "bf16") + ", end what else uses it, or use " + option(Option::device, "cpu")});
    }
  }
  Devices devices = find_devices();
  if (devices.all.empty()) return on_cpu(components, wishes, devices.why_no_gpu + (devices.hint.empty() ? "" : "; " + devices.hint), devices.gpu_out_of_reach);
  std::sort(devices.all.begin(), devices.all.end(), [](const DeviceInfo& a, const DeviceInfo& b) { return a.free_bytes > b.free_bytes; });
  for (const auto& device : devices.all)
    if (auto plan = plan_on(device, components, wishes)) {
      plan->reason = "it has " + memory_text(device.free_bytes) + " free, the model takes at least " + memory_text(least(*plan));
      return *plan;
    }
  const auto& best = devices.all.front();
  const std::uint64_t free = free_for(best, wishes);
  return on_cpu(components, wishes,
                "the model needs at least " + memory_text(least_bytes(best, components, wishes)) + " of a GPU, " + best.label() + " has " + memory_text(free) +
                    (wishes.memory > 0 ? " to give" : " free"),
                true);
}

}  // namespace glyphscope
