#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

namespace glyphscope {

/// How a weight is kept in fewer bits than it computes in: fp8, or in blocks of one of ggml's types, each with scales of its own. Source of these:
/// github.com/ggml-org/ggml, ggml-common.h and ggml-quants.c.
enum class QuantizedType { fp8, q4_0, q4_1, q5_0, q5_1, q8_0, q2_k, q3_k, q4_k, q5_k, q6_k, iq4_nl, iq4_xs };

/// "fp8", "Q4_K" ..
const char* quantized_name(QuantizedType type);

/// Of a type: the numbers of a block, and its bytes. 1 and 1 of fp8.
struct BlockSize {
  std::int64_t numbers = 1, bytes = 1;
};
BlockSize block_size(QuantizedType type);

/// What of a weight is not in its bytes.
struct Quantization {
  QuantizedType type = QuantizedType::fp8;
  std::int64_t columns = 0;  ///< Of a matrix in blocks: numbers a row, a whole number of blocks.
  torch::Tensor scale;       ///< Of fp8: fp32 on the weight's device, [1] or one a row, that the numbers are multiplied by; undefined: 1.

  /// The scale in the shape in which it multiplies that weight.
  torch::Tensor scale_beside(const torch::Tensor& weight) const;
};

/// A weight as it is kept. Rows are kept each by itself, so that some of them are a weight too.
struct QuantizedTensor {
  torch::Tensor stored;  ///< fp8: of that dtype, any shape; else [rows, bytes a row] uint8.
  Quantization how;

  std::vector<std::int64_t> shape() const;
  QuantizedTensor rows(std::int64_t begin, std::int64_t count) const;
  QuantizedTensor to(torch::Device device) const;
  /// The numbers, in that dtype: those of fp32, rounded.
  torch::Tensor dequantized(torch::ScalarType dtype) const;
};
/// One weight of two halves' rows, of the same type.
QuantizedTensor joined_rows(const QuantizedTensor& a, const QuantizedTensor& b);

/// The numbers of a weight that is kept so.
torch::Tensor dequantize(const torch::Tensor& stored, const Quantization& how, torch::ScalarType dtype);
/// The same, in memory that is used again: the next call on this thread overwrites it. For what is used at once.
torch::Tensor dequantize_for_now(const torch::Tensor& stored, const Quantization& how, torch::ScalarType dtype);
/// Those of some of its rows. rows: [n] int64 on its device.
torch::Tensor dequantize_rows(const torch::Tensor& stored, const Quantization& how, const torch::Tensor& rows, torch::ScalarType dtype);

/// Whether numbers of that type can be formed on such a device: fp8 anywhere; blocks on the CPU, and on a GPU by our own kernel, where it is there
/// (device/kernels.h).
bool can_dequantize(QuantizedType type, torch::DeviceType device);

}  // namespace glyphscope
