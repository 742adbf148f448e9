#pragma once

#include <cstddef>
#include <cstdint>

// The numbers of ggml's blocks, for the CPU and for CUDA alike. Every type's block is of runs of 16 numbers that share a scale and what is subtracted:
// number i is times * level(i) - less, and levels fit a signed byte. Facts of github.com/ggml-org/ggml, ggml-common.h and ggml-quants.c.

#ifdef __CUDACC__
#define GLYPHSCOPE_ANYWHERE __host__ __device__ inline
#else
#define GLYPHSCOPE_ANYWHERE inline __attribute__((always_inline))
#endif

namespace glyphscope::quantized {

constexpr int kRun = 16;
struct Scale {
  float times, less;
};

// IEEE half precision, little-endian.
GLYPHSCOPE_ANYWHERE float half_at(const std::uint8_t* bytes) {
  const std::uint32_t bits = static_cast<std::uint32_t>(bytes[0] | bytes[1] << 8), sign = (bits & 0x8000u) << 16;
  const std::uint32_t exponent = bits >> 10 & 31, fraction = bits & 1023;
  union {
    std::uint32_t bits;
    float value;
  } out;
  if (exponent == 0) {
    out.value = static_cast<float>(fraction) * 5.9604644775390625e-8f;  // 2^-24
    out.bits |= sign;
  } else {
    out.bits = sign | (exponent == 31 ? 255u << 23 : (exponent + 112) << 23) | fraction << 13;
  }
  return out.value;
}

// Part `number` of so many bytes each.
GLYPHSCOPE_ANYWHERE const std::uint8_t* part(const std::uint8_t* bytes, int number, std::ptrdiff_t size) { return bytes + number * size; }
// Numbers two a byte: the first half of a block's in the low bits, the second in the high ones.
GLYPHSCOPE_ANYWHERE int nibble(const std::uint8_t* bytes, int i, int half) { return i < half ? bytes[i] & 15 : bytes[i - half] >> 4; }
// Bit i of four bytes.
GLYPHSCOPE_ANYWHERE int bit(const std::uint8_t* bytes, int i) { return bytes[i / 8] >> (i % 8) & 1; }

struct Q4_0 {
  static constexpr int numbers = 32, bytes = 18;
  GLYPHSCOPE_ANYWHERE static Scale scale(const std::uint8_t* b, int) { return {half_at(b), 0}; }
  GLYPHSCOPE_ANYWHERE static int level(const std::uint8_t* b, int i) { return nibble(b + 2, i, 16) - 8; }
};
struct Q4_1 {
  static constexpr int numbers = 32, bytes = 20;
  GLYPHSCOPE_ANYWHERE static Scale scale(const std::uint8_t* b, int) { return {half_at(b), -half_at(b + 2)}; }
  GLYPHSCOPE_ANYWHERE static int level(const std::uint8_t* b, int i) { return nibble(b + 4, i, 16); }
};
struct Q5_0 {
  static constexpr int numbers = 32, bytes = 22;
  GLYPHSCOPE_ANYWHERE static Scale scale(const std::uint8_t* b, int) { return {half_at(b), 0}; }
  GLYPHSCOPE_ANYWHERE static int level(const std::uint8_t* b, int i) { return (nibble(b + 6, i, 16) | bit(b + 2, i) << 4) - 16; }
};
struct Q5_1 {
  static constexpr int numbers = 32, bytes = 24;
  GLYPHSCOPE_ANYWHERE static Scale scale(const std::uint8_t* b, int) { return {half_at(b), -half_at(b + 2)}; }
  GLYPHSCOPE_ANYWHERE static int level(const std::uint8_t* b, int i) { return nibble(b + 8, i, 16) | bit(b + 4, i) << 4; }
};
struct Q8_0 {
  static constexpr int numbers = 32, bytes = 34;
  GLYPHSCOPE_ANYWHERE static Scale scale(const std::uint8_t* b, int) { return {half_at(b), 0}; }
  GLYPHSCOPE_ANYWHERE static int level(const std::uint8_t* b, int i) { return static_cast<std::int8_t>(b[2 + i]); }
};

// Numbers of two bits: in 32 bytes each the first, second, third and fourth 32 of 128.
GLYPHSCOPE_ANYWHERE int pair_at(const std::uint8_t* bytes, int i) { return bytes[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3; }

struct Q2_K {
  static constexpr int numbers = 256, bytes = 84;
  GLYPHSCOPE_ANYWHERE static Scale scale(const std::uint8_t* b, int run) {
    return {half_at(b + 80) * static_cast<float>(b[run] & 15), half_at(b + 82) * static_cast<float>(b[run] >> 4)};
  }
  GLYPHSCOPE_ANYWHERE static int level(const std::uint8_t* b, int i) { return pair_at(b + 16, i); }
};
struct Q3_K {  // high bits, two low bits, scales, d
  static constexpr int numbers = 256, bytes = 110;
  GLYPHSCOPE_ANYWHERE static Scale scale(const std::uint8_t* b, int run) {
    const std::uint8_t* s = b + 96;
    const int low = run < 8 ? s[run] & 15 : s[run - 8] >> 4, high = s[8 + run % 4] >> (run / 4 * 2) & 3;
    return {half_at(b + 108) * static_cast<float>((low | high << 4) - 32), 0};
  }
  GLYPHSCOPE_ANYWHERE static int level(const std::uint8_t* b, int i) { return pair_at(b + 32, i) - (b[i % 32] >> (i / 32) & 1 ? 0 : 4); }
};
// Eight scales and eight minima of six bits each, in twelve bytes.
GLYPHSCOPE_ANYWHERE Scale six_bits(const std::uint8_t* b, int run) {
  const std::uint8_t* s = b + 4;
  const int j = run / 2;
  const int times = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | s[j - 4] >> 6 << 4, less = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | s[j] >> 6 << 4;
  return {half_at(b) * static_cast<float>(times), half_at(b + 2) * static_cast<float>(less)};
}
struct Q4_K {
  static constexpr int numbers = 256, bytes = 144;
  GLYPHSCOPE_ANYWHERE static Scale scale(const std::uint8_t* b, int run) { return six_bits(b, run); }
  GLYPHSCOPE_ANYWHERE static int level(const std::uint8_t* b, int i) { return nibble(part(b + 16, i / 64, 32), i % 64, 32); }
};
struct Q5_K {
  static constexpr int numbers = 256, bytes = 176;
  GLYPHSCOPE_ANYWHERE static Scale scale(const std::uint8_t* b, int run) { return six_bits(b, run); }
  GLYPHSCOPE_ANYWHERE static int level(const std::uint8_t* b, int i) {
    return nibble(part(b + 48, i / 64, 32), i % 64, 32) | (b[16 + i % 32] >> (i / 32) & 1) << 4;
  }
};
struct Q6_K {  // four low bits, two high bits, scales, d
  static constexpr int numbers = 256, bytes = 210;
  GLYPHSCOPE_ANYWHERE static Scale scale(const std::uint8_t* b, int run) {
    return {half_at(b + 208) * static_cast<float>(static_cast<std::int8_t>(b[192 + run])), 0};
  }
  GLYPHSCOPE_ANYWHERE static int level(const std::uint8_t* b, int i) {
    const int low = nibble(part(b, i / 128, 64), i % 128, 64);
    return (low | pair_at(b + 128, i) << 4) - 32;
  }
};

// Sixteen levels that are not even steps.
GLYPHSCOPE_ANYWHERE int uneven_level(int index) {
  constexpr std::int8_t kLevels[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
  return kLevels[index];
}
struct IQ4_NL {
  static constexpr int numbers = 32, bytes = 18;
  GLYPHSCOPE_ANYWHERE static Scale scale(const std::uint8_t* b, int) { return {half_at(b), 0}; }
  GLYPHSCOPE_ANYWHERE static int level(const std::uint8_t* b, int i) { return uneven_level(nibble(b + 2, i, 16)); }
};
struct IQ4_XS {
  static constexpr int numbers = 256, bytes = 136;
  GLYPHSCOPE_ANYWHERE static Scale scale(const std::uint8_t* b, int run) {
    const int j = run / 2, low = b[4 + j / 2] >> (j % 2 * 4) & 15, high = (b[2] | b[3] << 8) >> (2 * j) & 3;
    return {half_at(b) * static_cast<float>((low | high << 4) - 32), 0};
  }
  GLYPHSCOPE_ANYWHERE static int level(const std::uint8_t* b, int i) { return uneven_level(nibble(part(b + 8, i / 32, 16), i % 32, 16)); }
};

}  // namespace glyphscope::quantized
