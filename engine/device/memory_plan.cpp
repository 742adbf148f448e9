#include "device/memory_plan.h"

#include <algorithm>
#include <optional>

#include "core/error.h"
#include "core/option.h"
#include "device/cuda.h"
#include "device/devices.h"
#include "device/placement.h"

namespace glyphscope {

void WeightSize::add(const WeightSize& more) {
  numbers += more.numbers;
  fp8 += more.fp8;
  blocks.numbers += more.blocks.numbers;
  blocks.bytes += more.blocks.bytes;
}

void WeightSize::add(std::int64_t count, std::optional<QuantizedType> kept, std::uint64_t bytes) {
  numbers += count;
  if (!kept) return;
  if (*kept == QuantizedType::fp8) {
    fp8 += count;
  } else {
    blocks.numbers += count;
    blocks.bytes += bytes;
  }
}

std::uint64_t WeightSize::bytes(torch::ScalarType dtype, torch::DeviceType device) const {
  const bool kept = can_dequantize(QuantizedType::q8_0, device);  // or none of them
  const auto whole = static_cast<std::uint64_t>(numbers - fp8 - (kept ? blocks.numbers : 0));
  return whole * torch::elementSize(dtype) + static_cast<std::uint64_t>(fp8) + (kept ? blocks.bytes : 0);
}

namespace {

std::uint64_t needed(const MemoryPlan& plan) { return std::max(plan.reading_bytes(), plan.drawing_bytes()) + MemoryPlan::kWorkBytes; }

// As little as possible.
MemoryPlan least(MemoryPlan plan) {
  plan.keeps_encoders = false;
  plan.streams = true;
  plan.resident = 0;
  return plan;
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
std::optional<MemoryPlan> plan_parts(const DeviceInfo& device, const std::vector<ComponentSize>& components, const PlaceWishes& wishes) {
  MemoryPlan plan = resident_on(device, components, wishes);
  if (plan.drawing_bytes() + MemoryPlan::kRoomyBytes <= plan.free) return plan;
  plan.keeps_encoders = std::none_of(components.begin(), components.end(), [](const ComponentSize& one) { return one.reads_prompts; });
  if (needed(plan) <= plan.free) return plan;
  plan = least(plan);
  if (needed(plan) > plan.free) return std::nullopt;
  // What is left stays there, once there is some room to compute in; a denoiser's blocks beside all that reads prompts.
  double blocks = 0;
  for (const auto& one : components)
    if (!one.reads_prompts) blocks += static_cast<double>(plan.bytes(one, one.block_parameters));
  const std::uint64_t taken = std::max(plan.reading_bytes() + MemoryPlan::kWorkBytes, plan.drawing_bytes() + MemoryPlan::kRoomyBytes);
  if (blocks > 0 && taken < plan.free) plan.resident = std::min(1.0, static_cast<double>(plan.free - taken) / blocks);
  return plan;
}

std::optional<MemoryPlan> plan_on(const DeviceInfo& device, const std::vector<ComponentSize>& components, const PlaceWishes& wishes) {
  auto plan = plan_parts(device, components, wishes);
  if (plan && wishes.memory > 0) plan->work_bytes = wishes.memory - std::min(wishes.memory, plan->drawing_bytes());
  return plan;
}

std::uint64_t least_bytes(const DeviceInfo& device, const std::vector<ComponentSize>& components, const PlaceWishes& wishes) {
  return needed(least(resident_on(device, components, wishes)));
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

double MemoryPlan::resident_share(const std::string& component) const {
  for (const auto& one : components)
    if (one.name == component && streams && one.block_parameters.numbers > 0) return one.reads_prompts ? 0 : resident;
  return 1;
}

namespace {

// Of one component, on the device.
std::uint64_t bytes_there(const MemoryPlan& plan, const ComponentSize& one) {
  const double share = plan.resident_share(one.name);
  const std::uint64_t all = plan.bytes(one, one.parameters), blocks = plan.bytes(one, one.block_parameters);
  if (share == 1) return all;
  constexpr std::uint64_t kPlaces = 2;
  return all - blocks + static_cast<std::uint64_t>(share * static_cast<double>(blocks)) + kPlaces * plan.bytes(one, one.largest_block);
}

}  // namespace

std::uint64_t MemoryPlan::reading_bytes() const {
  std::uint64_t sum = 0;
  for (const auto& one : components) sum += bytes_there(*this, one);
  return sum;
}

std::uint64_t MemoryPlan::drawing_bytes() const {
  std::uint64_t sum = 0;
  for (const auto& one : components)
    if (keeps_encoders || !one.reads_prompts) sum += bytes_there(*this, one);
  return sum;
}

std::uint64_t MemoryPlan::streamed_bytes() const {
  double sum = 0;
  for (const auto& one : components) sum += (1 - resident_share(one.name)) * static_cast<double>(bytes(one, one.block_parameters));
  return static_cast<std::uint64_t>(sum);
}

std::string MemoryPlan::shortage() const {
  if (streams)
    return memory_text(streamed_bytes()) + " of the model's weights stay in the host's memory, and are copied to " + device_label(device) +
           " when they are to compute";
  return keeps_encoders ? "" : "What reads prompts is on " + device_label(device) + " only while prompts are read";
}

torch::ScalarType parse_dtype(const std::string& name, bool computes_bf16) {
  // fp16 arithmetic is some 300 times slower than bf16 in the convolutions of a CPU, so "auto" computes in fp32 there.
  if (name == "auto") return computes_bf16 ? torch::kBFloat16 : torch::kFloat32;
  if (name == "fp32") return torch::kFloat32;
  if (name == "bf16") return torch::kBFloat16;
  if (name == "fp16") return torch::kFloat16;
  reject("unknown dtype '" + name + "'", option(Option::dtype), "Known are auto, fp32, bf16 and fp16");
}

namespace {

Devices devices_with(const Leaving& leaving) {
  Devices out = find_devices();
  for (auto& one : out.all)
    if (one.device.str() == leaving.device) one.free_bytes += leaving.bytes;
  return out;
}

// The higher, the faster it is.
double goodness(const Expected<MemoryPlan>& plan) {
  if (!plan) return -1;
  if (plan->device.is_cpu()) return 0;
  return plan->streams ? 1 + plan->resident : plan->keeps_encoders ? 4 : 3;
}

}  // namespace

PlanBeside plan_beside(const std::vector<ComponentSize>& components, const PlaceWishes& wishes, const Leaving& open) {
  const auto beside = attempt([&] { return plan_memory(components, wishes); });
  const auto instead = open.bytes > 0 ? attempt([&] { return plan_memory(components, wishes, open); }) : beside;
  const bool leaves = goodness(instead) > goodness(beside);
  const auto& chosen = leaves ? instead : beside;
  if (!chosen) throw Failure(chosen.error());
  return {*chosen, leaves};
}

MemoryPlan plan_memory(const std::vector<ComponentSize>& components, const PlaceWishes& wishes, const Leaving& leaving) {
  parse_dtype(wishes.dtype);
  // LibTorch looks for CUDA when it first computes, and never again: a model of later may want it.
  if (wishes.device == "cpu" && cuda_device_count() > 0) open_cuda();
  if (wishes.device == "cpu") return on_cpu(components, wishes, "");
  if (wishes.device != "auto") {
    const torch::Device wanted = parse_device(wishes.device);
    if (wanted.is_cpu()) return on_cpu(components, wishes, "");
    for (const auto& device : devices_with(leaving).all) {
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
  Devices devices = devices_with(leaving);
  if (devices.all.empty()) return on_cpu(components, wishes, devices.why_no_gpu + (devices.hint.empty() ? "" : "; " + devices.hint), devices.gpu_out_of_reach);
  std::sort(devices.all.begin(), devices.all.end(), [](const DeviceInfo& a, const DeviceInfo& b) { return a.free_bytes > b.free_bytes; });
  for (const auto& device : devices.all)
    if (auto plan = plan_on(device, components, wishes)) {
      plan->reason = "it has " + memory_text(device.free_bytes) + " free, the model takes at least " + memory_text(needed(least(*plan)));
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
