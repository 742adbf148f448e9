#include "device/quantization.h"

#include <ATen/Parallel.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include "core/error.h"
#include "core/side_by_side.h"
#include "device/kernels.h"
#include "device/placement.h"
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

// Where the processor can, eight numbers at a time and more.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define GLYPHSCOPE_WIDE __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define GLYPHSCOPE_WIDE
#endif

// What is not inlined would be compiled for the least processor.
#define GLYPHSCOPE_INLINE inline __attribute__((always_inline))

template <class Out>
GLYPHSCOPE_INLINE void round_to(const float* numbers, int count, Out* to) {
  for (int i = 0; i < count; ++i) to[i] = static_cast<Out>(numbers[i]);
}
// To the nearest, of two to the even one, as c10 does; but several at a time.
GLYPHSCOPE_INLINE void round_to(const float* numbers, int count, c10::BFloat16* to) {
  for (int i = 0; i < count; ++i) {
    const auto bits = std::bit_cast<std::uint32_t>(numbers[i]);
    const std::uint32_t is_number = (bits & 0x7FFFFFFFu) > 0x7F800000u ? 0 : 0xFFFFu;
    const std::uint32_t rounded = (bits + 0x7FFFu + (bits >> 16 & 1)) >> 16;
    to[i].x = static_cast<std::uint16_t>((rounded & is_number) | (0x7FC0u & ~is_number));
  }
}

// A run whose place in the block is known when this is compiled, so that what picks its bits is too.
template <class Blocks, int kNumber>
GLYPHSCOPE_INLINE void levels_of(const std::uint8_t* block, std::int8_t* levels) {
  for (int i = 0; i < quantized::kRun; ++i)
    levels[kNumber * quantized::kRun + i] = static_cast<std::int8_t>(Blocks::level(block, kNumber * quantized::kRun + i));
}

template <class Blocks, int... kNumbers>
GLYPHSCOPE_INLINE void levels_of(const std::uint8_t* block, std::int8_t* levels, std::integer_sequence<int, kNumbers...>) {
  (levels_of<Blocks, kNumbers>(block, levels), ...);
}

template <class Blocks, int kNumber>
GLYPHSCOPE_INLINE void numbers_of(const std::uint8_t* block, const std::int8_t* levels, float* numbers) {
  const quantized::Scale scale = Blocks::scale(block, kNumber);
  for (int i = kNumber * quantized::kRun; i < (kNumber + 1) * quantized::kRun; ++i) numbers[i] = scale.times * static_cast<float>(levels[i]) - scale.less;
}

template <class Blocks, int... kNumbers>
GLYPHSCOPE_INLINE void numbers_of(const std::uint8_t* block, const std::int8_t* levels, float* numbers, std::integer_sequence<int, kNumbers...>) {
  (numbers_of<Blocks, kNumbers>(block, levels, numbers), ...);
}

// A block's levels, numbers and roundings one after the other: each a loop that compilers turn into vector instructions.
template <class Blocks, class Out>
GLYPHSCOPE_WIDE void blocks_to(const std::uint8_t* from, std::int64_t count, Out* to) {
  constexpr auto kRuns = std::make_integer_sequence<int, Blocks::numbers / quantized::kRun>();
  for (std::int64_t at = 0; at < count; ++at) {
    const std::uint8_t* block = from + at * Blocks::bytes;
    std::int8_t levels[Blocks::numbers];
    float numbers[Blocks::numbers];
    levels_of<Blocks>(block, levels, kRuns);
    numbers_of<Blocks>(block, levels, numbers, kRuns);
    round_to(numbers, Blocks::numbers, to + at * Blocks::numbers);
  }
}

// A byte has 256 values: what each is is looked up, of each row where each has a scale of its own.
void fp8_on_cpu(const torch::Tensor& stored, const torch::Tensor& scale, const torch::Tensor& out) {
  const torch::Tensor bytes = stored.contiguous(), scales = scale.defined() ? scale.contiguous() : torch::Tensor();
  const torch::Tensor values = torch::arange(256, on_host(torch::kUInt8)).view(stored.scalar_type()).to(torch::kFloat32).contiguous();
  const auto* from = static_cast<const std::uint8_t*>(bytes.const_data_ptr());
  const auto* value = values.const_data_ptr<float>();
  const float* times = scales.defined() ? scales.const_data_ptr<float>() : nullptr;
  const bool by_row = times && scales.numel() > 1;
  AT_DISPATCH_FLOATING_TYPES_AND2(torch::kHalf, torch::kBFloat16, out.scalar_type(), "fp8", [&] {
    auto* to = out.mutable_data_ptr<scalar_t>();
    const auto look_up = [&](std::int64_t begin, std::int64_t end, const float* scaled_by) {
      std::array<scalar_t, 256> table;
      for (size_t i = 0; i < table.size(); ++i) table[i] = static_cast<scalar_t>(scaled_by ? value[i] * *scaled_by : value[i]);
      for (std::int64_t i = begin; i < end; ++i) to[i] = table[from[i]];
    };
    if (!by_row) {
      in_chunks(bytes.numel(), kChunk, [&](std::int64_t begin, std::int64_t end) { look_up(begin, end, times); });
      return;
    }
    const std::int64_t rows = scales.numel(), row = bytes.numel() / rows;
    in_chunks(rows, std::max<std::int64_t>(1, kChunk / std::max<std::int64_t>(1, row)), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) look_up(i * row, (i + 1) * row, times + i);
    });
  });
}

void blocks_on_cpu(const torch::Tensor& stored, QuantizedType type, const torch::Tensor& out) {
  const torch::Tensor bytes = stored.contiguous();
  const auto* from = bytes.const_data_ptr<std::uint8_t>();
  AT_DISPATCH_FLOATING_TYPES_AND2(torch::kHalf, torch::kBFloat16, out.scalar_type(), "blocks", [&] {
    auto* to = out.mutable_data_ptr<scalar_t>();
    with_blocks(type, [&](auto blocks) {
      using Blocks = decltype(blocks);
      in_chunks(out.numel() / Blocks::numbers, kChunk / Blocks::numbers,
                [&](std::int64_t begin, std::int64_t end) { blocks_to<Blocks>(from + begin * Blocks::bytes, end - begin, to + begin * Blocks::numbers); });
    });
  });
}

void blocks_on_gpu(const torch::Tensor& stored, QuantizedType type, const torch::Tensor& out) {
  if (!can_dequantize(type, stored.device().type())) reject(std::string(quantized_name(type)) + " cannot be read on this device");
  const torch::Tensor bytes = stored.contiguous();
  const c10::DeviceGuard there(stored.device());
  const c10::impl::VirtualGuardImpl guard(c10::kCUDA);
  const char* error =
      kernels().dequantize(static_cast<int>(type), bytes.const_data_ptr(), out.numel() / block_size(type).numbers, out.mutable_data_ptr(),
                           static_cast<int>(out.element_size()), out.scalar_type() == torch::kBFloat16, guard.getStream(stored.device()).native_handle());
  if (error) throw Failure({ErrorCode::internal, std::string("CUDA: ") + error, "dequantize", ""});
}

// Memory of this thread for numbers that are used at once, kept for the next: a fresh piece of that size costs its pages each time, as much as what is written
// to them.
torch::Tensor scratch(at::IntArrayRef shape, torch::ScalarType dtype) {
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  thread_local std::unique_ptr<void, Free> memory;
  thread_local size_t size = 0;
  constexpr size_t kGrain = 4096;
  const size_t needed = (static_cast<size_t>(c10::multiply_integers(shape)) * torch::elementSize(dtype) + kGrain - 1) / kGrain * kGrain;
  if (needed > size) {
    memory.reset();
    size = 0;
    memory.reset(std::aligned_alloc(kGrain, needed));
    if (!memory) throw Failure({ErrorCode::out_of_memory, "not enough memory for a layer's numbers", "", ""});
    size = needed;
  }
  return torch::from_blob(memory.get(), shape, on_host(dtype));
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

namespace {

torch::Tensor numbers_in(const torch::Tensor& out, const torch::Tensor& stored, const Quantization& how) {
  if (stored.is_cpu()) {
    how.type == QuantizedType::fp8 ? fp8_on_cpu(stored, how.scale, out) : blocks_on_cpu(stored, how.type, out);
  } else if (how.type != QuantizedType::fp8) {
    blocks_on_gpu(stored, how.type, out);
  } else if (how.scale.defined()) {
    out.copy_(stored.to(torch::kFloat32) * how.scale_beside(stored));
  } else {
    out.copy_(stored);
  }
  return out;
}

}  // namespace

torch::Tensor dequantize(const torch::Tensor& stored, const Quantization& how, torch::ScalarType dtype) {
  // Wider than the kernels write.
  if (dtype == torch::kFloat64 && !stored.is_cpu()) return dequantize(stored, how, torch::kFloat32).to(dtype);
  return numbers_in(torch::empty(QuantizedTensor{stored, how}.shape(), stored.options().dtype(dtype)), stored, how);
}

torch::Tensor dequantize_for_now(const torch::Tensor& stored, const Quantization& how, torch::ScalarType dtype) {
  if (!stored.is_cpu()) return dequantize(stored, how, dtype);
  return numbers_in(scratch(QuantizedTensor{stored, how}.shape(), dtype), stored, how);
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
