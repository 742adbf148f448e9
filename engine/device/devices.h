#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace glyphscope {

/// A device that computes, the host's processor aside.
struct DeviceInfo {
  c10::Device device;
  std::string name;  ///< What its maker calls it: "NVIDIA H200".
  std::uint64_t free_bytes = 0, total_bytes = 0;
  bool computes_bf16 = false;

  /// "cuda:0 (NVIDIA H200)"
  std::string label() const;
};

/// Those that this process can compute on: GPUs, once what they need has been opened; PyTorch's PrivateUse1, where something has registered it.
struct Devices {
  std::vector<DeviceInfo> all;
  std::string why_no_gpu;  ///< A sentence without a full stop, if there is none; and what to do about it, which may be empty.
  std::string hint;
  bool gpu_out_of_reach = false;  ///< There seems to be one that cannot be used.
};
Devices find_devices();

/// The device of such a name: "cpu", "cuda" (the one with most free memory), "cuda:1", "standin". Throws a Failure that says what there is.
c10::Device parse_device(const std::string& name);

/// "cpu", or the label of such a device.
std::string device_label(c10::Device device);
/// What of it matters to results: "cpu", "cuda (NVIDIA H200, without TF32)".
std::string device_kind(c10::Device device);

/// Memory that is free on a device and that it has; of the CPU, the machine's.
struct DeviceMemory {
  std::uint64_t free = 0, total = 0;
};
DeviceMemory device_memory(c10::Device device);
/// What is free for tensors: of the device, and of what LibTorch holds of it.
std::uint64_t memory_for_tensors(c10::Device device);
/// The most that tensors have taken since forget_peak_memory(), in bytes; on the CPU, that the process has taken.
std::uint64_t peak_memory(c10::Device device);
void forget_peak_memory(c10::Device device);
/// The most that tensors take during a call beside what is there before it, in bytes, on a device other than the CPU; it does not change what peak_memory()
/// says.
std::uint64_t memory_taken_by(c10::Device device, const std::function<void()>& call);
/// Gives back what LibTorch holds of a device for tensors to come.
void release_cached_memory(c10::Device device);
/// The same of the host's memory that is pinned for that device.
void release_pinned_memory(c10::Device device);

/// "5.2 GiB", "340 MiB"
std::string memory_text(std::uint64_t bytes);

}  // namespace glyphscope
