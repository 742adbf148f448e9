#pragma once

#include <c10/core/Device.h>

#include <cstdint>

/// A device that behaves like a GPU towards mistakes, for machines that have none. Its operators are the CPU's, but they refuse tensors of different devices as
/// CUDA's do, and its memory cannot be read or written by the host: who tries is ended by a signal, and a line says why. It is PyTorch's PrivateUse1, called
/// "standin". Programs that link this library have it where GLYPHSCOPE_TEST_DEVICE
/// is "standin", and so has any program into which it is preloaded (LD_PRELOAD).
namespace glyphscope::testing::stand_in {

inline constexpr const char* kName = "standin";
c10::Device device();

/// What went between host and device since reset(); what operators do inside is not counted.
struct Traffic {
  std::int64_t to_device = 0, to_host = 0;  ///< Copies.
  std::int64_t waits = 0;                   ///< Times the host had to wait for a result: copies to it, and numbers or sizes that depend on one.
  std::int64_t operators = 0;               ///< Calls of operators on device tensors.
};
Traffic traffic();
void reset_traffic();

/// From now on the device has so much memory; what is more fails as on a GPU. At first it has 64 GiB, which are not there, or GLYPHSCOPE_STAND_IN_MEMORY bytes.
void set_memory(std::uint64_t bytes);
std::uint64_t memory_used();
/// How often memory was refused so far.
std::int64_t refusals();

/// After so many more operators each one fails, as on a device that was lost; negative: never. At first GLYPHSCOPE_STAND_IN_LOST_AFTER.
void lose_after(std::int64_t operators);

}  // namespace glyphscope::testing::stand_in
