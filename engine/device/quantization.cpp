#include "device/quantization.h"

#include <ATen/Parallel.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>

#include "core/error.h"
#include "core/side_by_side.h"
#include "device/kernels.h"
#include "device/quantized_blocks.h"

namespace glyphscope {

namespace {

// f(what reads blocks of that type).
template <class F>
decltype(auto) with_blocks(QuantizedType type, F&& f) {
  switch (type) {
    case QuantizedType::q4_0:
      return f(quantized::Q4_0());
    case QuantizedType::q4_1:
      return f(quantized::Q4_1());
    case QuantizedType::q5_0:
      return f(quantized::Q5_0());
    case QuantizedType::q5_1:
      return f(quantized::Q5_1());
    case QuantizedType::q8_0:
      return f(quantized::Q8_0());
    case QuantizedType::q2_k:
      return f(quantized::Q2_K());
    case QuantizedType::q3_k:
      return f(quantized::Q3_K());
    case QuantizedType::q4_k:
      return f(quantized::Q4_K());
    case QuantizedType::q5_k:
      return f(quantized::Q5_K());
    case QuantizedType::q6_k:
      return f(quantized::Q6_K());
    case QuantizedType::iq4_nl:
      return f(quantized::IQ4_NL());
    case QuantizedType::iq4_xs:
      return f(quantized::IQ4_XS());
    default:
      throw Failure({ErrorCode::internal, "fp8 has no blocks", "dequantize", ""});
  }
}

// Chunks of `total` numbers or blocks, spread over the threads that there are.
void in_chunks(std::int64_t total, std::int64_t chunk, const std::function<void(std::int64_t begin, std::int64_t end)>& f) {
  const std::int64_t chunks = (total + chunk - 1) / chunk;
  const auto one = [&](std::int64_t i) { f(i * chunk, std::min(total, (i + 1) * chunk)); };
  if (chunks == 1 || is_side_by_side() || at::get_num_threads() == 1) {
    for (std::int64_t i = 0; i < chunks; ++i) one(i);
  } else {
    side_by_side(chunks, std::min<std::int64_t>(chunks, at::get_num_threads()), one);
  }
}

constexpr std::int64_t kChunk = 1 << 16;  // numbers

template <class Blocks, class Out>
void blocks_to(const std::uint8_t* from, std::int64_t count, Out* to) {
  for (std::int64_t block = 0; block < count; ++block, from += Blocks::bytes)
    for (int run = 0; run < Blocks::numbers / quantized::kRun; ++run) {
      const quantized::Scale scale = Blocks::scale(from, run);
      for (int i = 0; i < quantized::kRun; ++i)
        *to++ = static_cast<Out>(scale.times * static_cast<float>(Blocks::level(from, run * quantized::kRun + i)) - scale.less);
    }
}

// A byte has 256 values: what each is, in the dtype that is wanted.
template <class Out>
void fp8_to(const torch::Tensor& table, const std::uint8_t* from, std::int64_t count, Out* to) {
  const Out* const values = table.const_data_ptr<Out>();
  for (std::int64_t i = 0; i < count; ++i) to[i] = values[from[i]];
}

torch::Tensor fp8_on_cpu(const torch::Tensor& stored, torch::ScalarType dtype) {
  const torch::Tensor bytes = stored.contiguous();
  const torch::Tensor table =
      torch::arange(256, torch::TensorOptions(torch::kCPU).dtype(torch::kUInt8)).view(stored.scalar_type()).to(torch::kFloat32).to(dtype);
  torch::Tensor out = torch::empty(stored.sizes(), torch::TensorOptions(torch::kCPU).dtype(dtype));
  const auto* from = static_cast<const std::uint8_t*>(bytes.const_data_ptr());
  AT_DISPATCH_FLOATING_TYPES_AND2(torch::kHalf, torch::kBFloat16, dtype, "fp8", [&] {
    auto* to = out.mutable_data_ptr<scalar_t>();
    in_chunks(bytes.numel(), kChunk, [&](std::int64_t begin, std::int64_t end) { fp8_to<scalar_t>(table, from + begin, end - begin, to + begin); });
  });
  return out;
}

torch::Tensor fp8_numbers(const torch::Tensor& stored, const Quantization& how, torch::ScalarType dtype) {
  const torch::ScalarType exact = how.scale.defined() ? torch::kFloat32 : dtype;
  const torch::Tensor numbers = stored.is_cpu() ? fp8_on_cpu(stored, exact) : stored.to(exact);
  if (!how.scale.defined()) return numbers;
  return (numbers * how.scale_beside(stored)).to(dtype);
}

torch::Tensor block_numbers(const torch::Tensor& stored, const Quantization& how, torch::ScalarType dtype) {
  const torch::Tensor bytes = stored.contiguous();
  torch::Tensor out = torch::empty({stored.size(0), how.columns}, stored.options().dtype(dtype));
  const auto* from = bytes.const_data_ptr<std::uint8_t>();
  const std::int64_t count = out.numel() / block_size(how.type).numbers;
  if (stored.is_cpu()) {
    AT_DISPATCH_FLOATING_TYPES_AND2(torch::kHalf, torch::kBFloat16, dtype, "blocks", [&] {
      auto* to = out.mutable_data_ptr<scalar_t>();
      with_blocks(how.type, [&](auto blocks) {
        using Blocks = decltype(blocks);
        in_chunks(count, kChunk / Blocks::numbers,
                  [&](std::int64_t begin, std::int64_t end) { blocks_to<Blocks>(from + begin * Blocks::bytes, end - begin, to + begin * Blocks::numbers); });
      });
    });
    return out;
  }
  if (!can_dequantize(how.type, stored.device().type())) reject(std::string(quantized_name(how.type)) + " cannot be read on this device");
  // Wider than the kernel writes: its fp32, widened.
  if (dtype == torch::kFloat64) return block_numbers(stored, how, torch::kFloat32).to(dtype);
  const c10::DeviceGuard there(stored.device());
  const c10::impl::VirtualGuardImpl guard(c10::kCUDA);
  const char* error = kernels().dequantize(static_cast<int>(how.type), from, count, out.mutable_data_ptr(), static_cast<int>(out.element_size()),
                                           dtype == torch::kBFloat16, guard.getStream(stored.device()).native_handle());
  if (error) throw Failure({ErrorCode::internal, std::string("CUDA: ") + error, "dequantize", ""});
  return out;
}

}  // namespace

const char* quantized_name(QuantizedType type) {
  constexpr const char* kNames[] = {"fp8", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS"};
  return kNames[static_cast<size_t>(type)];
}

BlockSize block_size(QuantizedType type) {
  if (type == QuantizedType::fp8) return {};
  return with_blocks(type, [](auto blocks) { return BlockSize{decltype(blocks)::numbers, decltype(blocks)::bytes}; });
}

torch::Tensor Quantization::scale_beside(const torch::Tensor& weight) const {
  std::vector<std::int64_t> shape(static_cast<size_t>(weight.dim()), 1);
  if (scale.numel() > 1) shape[0] = scale.numel();
  return scale.view(shape);
}

std::vector<std::int64_t> QuantizedTensor::shape() const {
  return how.type == QuantizedType::fp8 ? stored.sizes().vec() : std::vector<std::int64_t>{stored.size(0), how.columns};
}

QuantizedTensor QuantizedTensor::rows(std::int64_t begin, std::int64_t count) const {
  QuantizedTensor out{stored.narrow(0, begin, count), how};
  if (how.scale.defined() && how.scale.numel() > 1) out.how.scale = how.scale.narrow(0, begin, count);
  return out;
}

QuantizedTensor QuantizedTensor::to(torch::Device device) const {
  QuantizedTensor out{stored.to(device), how};
  if (how.scale.defined()) out.how.scale = how.scale.to(device);
  return out;
}

torch::Tensor QuantizedTensor::dequantized(torch::ScalarType dtype) const { return dequantize(stored, how, dtype); }

QuantizedTensor joined_rows(const QuantizedTensor& a, const QuantizedTensor& b) {
  QuantizedTensor out{torch::cat({a.stored, b.stored}), a.how};
  if (a.how.scale.defined() && a.how.scale.numel() > 1) out.how.scale = torch::cat({a.how.scale, b.how.scale});
  return out;
}

torch::Tensor dequantize(const torch::Tensor& stored, const Quantization& how, torch::ScalarType dtype) {
  return how.type == QuantizedType::fp8 ? fp8_numbers(stored, how, dtype) : block_numbers(stored, how, dtype);
}

torch::Tensor dequantize_rows(const torch::Tensor& stored, const Quantization& how, const torch::Tensor& rows, torch::ScalarType dtype) {
  Quantization some = how;
  if (how.scale.defined() && how.scale.numel() > 1) some.scale = how.scale.index_select(0, rows);
  const torch::Tensor bytes = stored.view(torch::kUInt8).index_select(0, rows);
  return dequantize(bytes.view(stored.scalar_type()), some, dtype);
}

bool can_dequantize(QuantizedType type, torch::DeviceType device) {
  return type == QuantizedType::fp8 || device == torch::kCPU || (device == torch::kCUDA && kernels().dequantize != nullptr);
}

}  // namespace glyphscope
