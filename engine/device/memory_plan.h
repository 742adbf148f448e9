#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "device/placement.h"
#include "device/quantization.h"

namespace glyphscope {

/// What weights take. Those that are kept quantized take their bytes, whatever computes; but where a device cannot form their numbers, they are loaded as
/// numbers (can_dequantize).
struct WeightSize {
  std::int64_t numbers = 0;  ///< Of all.
  std::int64_t fp8 = 0;      ///< Of these, kept in fp8: a byte each.
  struct Blocks {
    std::int64_t numbers = 0;
    std::uint64_t bytes = 0;
  } blocks;  ///< Kept in ggml's blocks.

  WeightSize() = default;
  WeightSize(std::int64_t count) : numbers(count) {}
  void add(const WeightSize& more);
  void add(std::int64_t count, std::optional<QuantizedType> kept, std::uint64_t bytes);
  std::uint64_t bytes(torch::ScalarType dtype, torch::DeviceType device) const;
};

/// A component's size, as far as its files' headers tell.
struct ComponentSize {
  std::string name;
  WeightSize parameters;
  bool wide = false;            ///< Computes in fp32 where the run is in fp16.
  bool reads_prompts = false;   ///< It can go once prompts are read.
  WeightSize block_parameters;  ///< Of these, what is in blocks that can be copied to the device one by one (BlockStream); 0: it has none.
  WeightSize largest_block;     ///< Parameters of the largest.

  /// In which it computes where the run computes in `run`.
  torch::ScalarType dtype(torch::ScalarType run) const { return wide && run == torch::kFloat16 ? torch::kFloat32 : run; }
};

/// What a user asks for.
struct PlaceWishes {
  std::string device = "auto";  ///< auto, cpu, cuda, cuda:1 ..
  std::string dtype = "auto";   ///< auto, fp32, bf16, fp16
  std::uint64_t memory = 0;     ///< Bytes that the model may take of a device; 0: what is free.
};

/// Where each component of a model goes. In this order, what is first enough: all stay on the device; encoders go after prompts are read; blocks are copied to
/// the device when they are to compute.
struct MemoryPlan {
  /// What computing takes beside weights: at least, for one small row; and so that there is room for some.
  static constexpr std::uint64_t kWorkBytes = std::uint64_t{256} << 20, kRoomyBytes = std::uint64_t{2} << 30;

  torch::Device device = torch::kCPU;
  torch::ScalarType dtype = torch::kFloat32;  ///< Of the run; some components are wider.
  std::vector<ComponentSize> components;
  std::uint64_t free = 0;                                                ///< Bytes that it was made for.
  std::uint64_t work_bytes = std::numeric_limits<std::uint64_t>::max();  ///< What the user lets rows take.
  bool keeps_encoders = true;                                            ///< Else what reads prompts is there only while they are read.
  bool streams = false;     ///< Blocks are copied to the device when they are to compute: of an encoder all, of a denoiser all but `resident`.
  double resident = 1;      ///< The share of a denoiser's blocks that stays on the device.
  std::string reason;       ///< Why this device, a sentence without a full stop; empty where it was named.
  bool unexpected = false;  ///< There is a GPU, and it is not used: worth a note.

  Placement placement(const std::string& component) const;
  /// What of a component takes where it computes.
  std::uint64_t bytes(const ComponentSize& component, const WeightSize& part) const { return part.bytes(component.dtype(dtype), device.type()); }
  /// The share of that component's blocks that stays on the device.
  double resident_share(const std::string& component) const;
  /// Bytes of weights that are on the device at once: while prompts are read, and while pictures are drawn; and those that are copied there.
  std::uint64_t reading_bytes() const;
  std::uint64_t drawing_bytes() const;
  std::uint64_t streamed_bytes() const;
  /// What of the model is not always on the device, a sentence without a full stop; empty if all is.
  std::string shortage() const;
};

/// The dtype of that name, on such a device. Throws a Failure.
torch::ScalarType parse_dtype(const std::string& name, bool computes_bf16 = false);

/// What goes of a device's memory before the model is loaded.
struct Leaving {
  std::string device;  ///< "cuda:0"
  std::uint64_t bytes = 0;
};

/// Throws a Failure that says with numbers what does not fit, or what device there is not.
MemoryPlan plan_memory(const std::vector<ComponentSize>& components, const PlaceWishes& wishes, const Leaving& leaving = {});

/// The plan beside a model that is open; or, if that one is then better, the plan once it has gone. Throws as plan_memory() does.
struct PlanBeside {
  MemoryPlan plan;
  bool leaves = false;  ///< The open one is to go.
};
PlanBeside plan_beside(const std::vector<ComponentSize>& components, const PlaceWishes& wishes, const Leaving& open);

}  // namespace glyphscope
