#include "device/devices.h"

#include <ATen/Context.h>
#include <ATen/core/CachingHostAllocator.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/DeviceType.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <fstream>

#include "core/error.h"
#include "core/option.h"
#include "device/cuda.h"
#include "device/devices_in_sight.h"

namespace glyphscope {

namespace {

constexpr auto kOther = c10::DeviceType::PrivateUse1;

DeviceMemory machine_memory() {
  DeviceMemory out;
  std::ifstream file("/proc/meminfo");
  std::string name, unit;
  for (std::uint64_t amount = 0; file >> name >> amount >> unit;) {
    if (name == "MemTotal:") out.total = amount * 1024;
    if (name == "MemAvailable:") out.free = amount * 1024;
  }
  return out;
}

std::uint64_t process_peak() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) * 1024;
  return 0;
}

c10::DeviceAllocator* allocator_of(c10::Device device) {
  return device.is_cpu() ? nullptr : dynamic_cast<c10::DeviceAllocator*>(c10::GetAllocator(device.type()));
}

void add(Devices& out, c10::DeviceType type) {
  const c10::DeviceIndex count = at::globalContext().getAcceleratorHooksInterface(type).deviceCount();
  for (c10::DeviceIndex i = 0; i < count; ++i) {
    DeviceInfo info{c10::Device(type, i), {}, 0, 0, false};
    if (type == c10::kCUDA) {
      const CudaDevice cuda = cuda_device(i);
      info.name = cuda.name;
      info.computes_bf16 = cuda.computes_bf16;
      if (!cuda.has_kernels) {
        out.why_no_gpu = info.label() + " is older than LibTorch's kernels";
        out.hint.clear();
        continue;
      }
    }
    // A GPU that someone else holds alone, or that is full, is left out. What LibTorch holds for tensors to come is free.
    const auto memory = attempt([&] { return DeviceMemory{memory_for_tensors(info.device), device_memory(info.device).total}; });
    if (!memory) {
      out.why_no_gpu = info.label() + ": " + memory.error().what;
      out.hint.clear();
      continue;
    }
    info.free_bytes = memory->free;
    info.total_bytes = memory->total;
    out.all.push_back(std::move(info));
  }
}

}  // namespace

std::string DeviceInfo::label() const { return device.str() + (name.empty() ? "" : " (" + name + ")"); }

Devices find_devices() {
  Devices out;
  if (const Cuda& cuda = open_cuda(); !cuda.opened) {
    out.why_no_gpu = cuda.why_not;
    out.hint = cuda.hint;
    out.gpu_out_of_reach = cuda.driver;
  } else {
    out.why_no_gpu = "the program had computed on the CPU before a GPU was asked for";
    out.hint = "Start it anew";
    add(out, c10::kCUDA);
    out.gpu_out_of_reach = out.all.empty();
  }
  if (c10::is_privateuse1_backend_registered()) add(out, kOther);
  return out;
}

std::vector<NamedDevice> devices_in_sight() {
  std::vector<NamedDevice> out;
  for (int i = 0; i < cuda_device_count(); ++i) out.push_back({"cuda:" + std::to_string(i), cuda_device(i).name});
  if (c10::is_privateuse1_backend_registered())
    for (c10::DeviceIndex i = 0; i < at::globalContext().getAcceleratorHooksInterface(kOther).deviceCount(); ++i)
      out.push_back({c10::Device(kOther, i).str(), {}});
  return out;
}

c10::Device parse_device(const std::string& name) {
  if (name == "cpu") return c10::kCPU;
  const Devices devices = find_devices();
  const std::string kind = name.substr(0, name.find(':'));
  std::vector<const DeviceInfo*> alike;
  std::string known = "cpu";
  for (const auto& one : devices.all) {
    known += ", " + one.label();
    if (c10::DeviceTypeName(one.device.type(), /*lower_case=*/true) == kind) alike.push_back(&one);
  }
  const std::string where = option(Option::device, name);
  if (alike.empty() && kind == "cuda")
    reject(devices.why_no_gpu, where, devices.hint + (devices.hint.empty() ? "" : "; ") + option(Option::device, "cpu") + " does without");
  if (alike.empty()) reject("there is no device '" + name + "'", where, "There are: " + known);
  if (kind == name)
    return (*std::max_element(alike.begin(), alike.end(), [](const DeviceInfo* a, const DeviceInfo* b) { return a->free_bytes < b->free_bytes; }))->device;
  for (const DeviceInfo* one : alike)
    if (one->device.str() == name) return one->device;
  reject("there is no device '" + name + "'", where, "There are: " + known);
}

std::string device_label(c10::Device device) {
  if (device.is_cpu()) return "cpu";
  return DeviceInfo{device, device.is_cuda() ? cuda_device(device.index()).name : std::string(), 0, 0, false}.label();
}

std::string device_kind(c10::Device device) {
  const std::string type = c10::DeviceTypeName(device.type(), /*lower_case=*/true);
  return device.is_cuda() ? type + " (" + cuda_device(device.index()).name + ", without TF32)" : type;
}

DeviceMemory device_memory(c10::Device device) {
  if (device.is_cpu()) return machine_memory();
  auto* const allocator = allocator_of(device);
  if (!allocator) return {};
  const auto [free, total] = allocator->getMemoryInfo(device.index());
  return {free, total};
}

namespace {

struct Allocated {
  std::uint64_t now = 0, peak = 0, held = 0;  // by tensors; and by LibTorch, for them and for others to come
};
Allocated allocated(c10::Device device) {
  auto* const allocator = allocator_of(device);
  if (!allocator || !allocator->initialized()) return {};
  const auto stats = allocator->getDeviceStats(device.index());
  constexpr auto kAll = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  const auto& tensors = stats.allocated_bytes[kAll];
  return {static_cast<std::uint64_t>(tensors.current), static_cast<std::uint64_t>(tensors.peak),
          static_cast<std::uint64_t>(std::max(tensors.current, stats.reserved_bytes[kAll].current))};
}

std::atomic<std::uint64_t> peak_before_measuring = 0;  // since when it was last to be forgotten

}  // namespace

std::uint64_t memory_for_tensors(c10::Device device) {
  const Allocated its = allocated(device);
  return device_memory(device).free + its.held - std::min(its.held, its.now);
}

std::uint64_t peak_memory(c10::Device device) { return device.is_cpu() ? process_peak() : std::max(allocated(device).peak, peak_before_measuring.load()); }

std::uint64_t memory_taken_by(c10::Device device, const std::function<void()>& call) {
  const std::uint64_t before = peak_memory(device), there = allocated(device).now;
  if (auto* const allocator = allocator_of(device); allocator && allocator->initialized()) allocator->resetPeakStats(device.index());
  peak_before_measuring = before;
  call();
  return allocated(device).peak - std::min(allocated(device).peak, there);
}

void forget_peak_memory(c10::Device device) {
  if (device.is_cpu()) std::ofstream("/proc/self/clear_refs") << 5;  // proc(5): resets the peak
  if (!device.is_cpu()) peak_before_measuring = 0;
  if (auto* const allocator = allocator_of(device); allocator && allocator->initialized()) allocator->resetPeakStats(device.index());
}

void release_cached_memory(c10::Device device) {
  if (auto* const allocator = allocator_of(device); allocator && allocator->initialized()) allocator->emptyCache();
}

void release_pinned_memory(c10::Device device) {
  if (device.is_cuda()) at::getHostAllocator(device.type())->empty_cache();
}

std::string memory_text(std::uint64_t bytes) {
  constexpr double kMiB = 1 << 20, kGiB = 1 << 30;
  const auto amount = static_cast<double>(bytes);
  char text[32];
  std::snprintf(text, sizeof text, amount < kGiB ? "%.0f MiB" : "%.1f GiB", amount / (amount < kGiB ? kMiB : kGiB));
  return text;
}

}  // namespace glyphscope
