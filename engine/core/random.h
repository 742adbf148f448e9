#pragma once

#include <ATen/core/Generator.h>

#include <cstdint>

namespace glyphscope {

/// PyTorch's CPU generator: the same seed gives the same numbers as torch.Generator("cpu").manual_seed(seed).
at::Generator make_generator(std::uint64_t seed);

/// A small generator for choices, the same on every platform (SplitMix64, https://prng.di.unimi.it/splitmix64.c).
class Choice {
 public:
  explicit Choice(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next();
  /// Uniform in [0, n). Precondition: n > 0.
  int below(int n) { return static_cast<int>(next() % static_cast<std::uint64_t>(n)); }
  /// Uniform in [0, 1).
  double fraction() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

 private:
  std::uint64_t state_;
};

/// A seed of its own for each item of a stream, so that item i can be made without the items before it.
std::uint64_t derive_seed(std::uint64_t seed, std::uint64_t stream, std::uint64_t index);

}  // namespace glyphscope
