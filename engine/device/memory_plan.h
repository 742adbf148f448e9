#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "device/placement.h"

namespace glyphscope {

/// A component's size, as far as its files' headers tell.
struct ComponentSize {
  std::string name;
  std::int64_t parameters = 0;
  bool wide = false;           ///< Computes in fp32 where the run is in fp16.
  bool reads_prompts = false;  ///< A T5: it can go once prompts are read.

  /// In which it computes where the run computes in `run`.
  torch::ScalarType dtype(torch::ScalarType run) const { return wide && run == torch::kFloat16 ? torch::kFloat32 : run; }
  std::uint64_t bytes(torch::ScalarType run) const { return static_cast<std::uint64_t>(parameters) * torch::elementSize(dtype(run)); }
};

/// What a user asks for.
struct PlaceWishes {
  std::string device = "auto";  ///< auto, cpu, cuda, cuda:1 ..
  std::string dtype = "auto";   ///< auto, fp32, bf16, fp16
  std::uint64_t memory = 0;     ///< Bytes that the model may take of a device; 0: what is free.
};

/// Where each component of a model goes.
struct MemoryPlan {
  torch::Device device = torch::kCPU;
  torch::ScalarType dtype = torch::kFloat32;  ///< Of the run; some components are wider.
  std::vector<ComponentSize> components;
  std::uint64_t free = 0;      ///< Bytes that it was made for.
  bool keeps_encoders = true;  ///< Else a T5 is there only while prompts are read.
  std::string reason;          ///< Why this device, a sentence without a full stop; empty where it was named.
  bool unexpected = false;     ///< There is a GPU, and it is not used: worth a note.

  Placement placement(const std::string& component) const;
  std::uint64_t bytes(const std::string& component) const;
  /// Bytes of weights that are there at once: while prompts are read, and while pictures are drawn.
  std::uint64_t reading_bytes() const;
  std::uint64_t drawing_bytes() const;
};

/// The dtype of that name, on such a device. Throws a Failure.
torch::ScalarType parse_dtype(const std::string& name, bool computes_bf16 = false);

/// Throws a Failure that says with numbers what does not fit, or what device there is not.
MemoryPlan plan_memory(const std::vector<ComponentSize>& components, const PlaceWishes& wishes);

}  // namespace glyphscope
