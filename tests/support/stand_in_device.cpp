#include "tests/support/stand_in_device.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/SDPBackend.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/Resize.h>
#include <ATen/native/TensorFactories.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/DeviceType.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <signal.h>
#include <sys/mman.h>
#include <torch/library.h>
#include <torch/types.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>

namespace glyphscope::testing::stand_in {
namespace {

using at::Tensor;
constexpr auto kType = c10::DeviceType::PrivateUse1;
// LibTorch lets a parameter's data be replaced by data on another device (set_data) only for backends that it names, of which PrivateUse1 is none
// (its issue 196975). With the mark of one that is there but never called, as PrivateUse1 goes before it, it does.
const c10::DispatchKeySet kKeys = c10::DispatchKeySet(c10::DispatchKey::PrivateUse1) | c10::DispatchKeySet(c10::DispatchKey::XPU);

std::atomic<std::int64_t> to_device_count = 0, to_host_count = 0, wait_count = 0, operator_count = 0, refusal_count = 0, left_until_lost = -1;
thread_local int inside_operators = 0;  // what these copy is not counted

struct InsideOperator {
  InsideOperator() { ++inside_operators; }
  ~InsideOperator() { --inside_operators; }
  InsideOperator(const InsideOperator&) = delete;
  InsideOperator& operator=(const InsideOperator&) = delete;
};

// The device's memory is mapped twice: as tensors have it, where nobody may touch it, and for operators, at a distance.
class Memory {
 public:
  static constexpr size_t kBytes = size_t{64} << 30, kGrain = 64;

  Memory() {
    const int file = ::memfd_create("stand-in", MFD_CLOEXEC);
    TORCH_CHECK(file >= 0 && ::ftruncate(file, static_cast<off_t>(kBytes)) == 0, "stand-in device: no memory file");
    tensors_ = map(file, PROT_NONE);
    operators_ = map(file, PROT_READ | PROT_WRITE);
    ::close(file);
    free_[0] = kBytes;
  }

  void* take(size_t bytes) {
    const std::lock_guard lock(mutex_);
    const size_t size = (bytes + kGrain - 1) / kGrain * kGrain;
    auto found = free_.begin();
    while (found != free_.end() && found->second < size) ++found;
    if (used_ + size > limit_ || found == free_.end()) {
      ++refusal_count;
      C10_THROW_ERROR(OutOfMemoryError, "stand-in device out of memory: tried to take " + std::to_string(bytes) + " bytes, " +
                                            std::to_string(limit_ - std::min(limit_, used_)) + " of " + std::to_string(limit_) + " are free");
    }
    const auto [at, length] = *found;
    free_.erase(found);
    if (length > size) free_[at + size] = length - size;
    taken_[at] = size;
    used_ += size;
    most_used_ = std::max(most_used_, used_);
    return tensors_ + at;
  }

  void give(void* pointer) {
    const std::lock_guard lock(mutex_);
    size_t at = static_cast<size_t>(static_cast<char*>(pointer) - tensors_);
    const auto found = taken_.find(at);
    size_t size = found->second;
    taken_.erase(found);
    used_ -= size;
    const auto next = free_.lower_bound(at);
    if (next != free_.end() && next->first == at + size) {
      size += next->second;
      free_.erase(next);
    }
    const auto after = free_.lower_bound(at);
    if (after != free_.begin()) {
      const auto before = std::prev(after);
      if (before->first + before->second == at) {
        before->second += size;
        return;
      }
    }
    free_[at] = size;
  }

  bool has(const void* pointer) const { return pointer >= tensors_ && pointer < tensors_ + kBytes; }
  /// The same place as operators see it.
  void* opened(void* pointer) const { return operators_ + (static_cast<char*>(pointer) - tensors_); }

  void set_limit(std::uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    limit_ = std::min<std::uint64_t>(bytes, kBytes);
  }
  struct Use {
    size_t now, most, limit;
  };
  Use use() const {
    const std::lock_guard lock(mutex_);
    return {used_, most_used_, limit_};
  }
  void forget_most() {
    const std::lock_guard lock(mutex_);
    most_used_ = used_;
  }

 private:
  static char* map(int file, int protection) {
    void* const at = ::mmap(nullptr, kBytes, protection, MAP_SHARED | MAP_NORESERVE, file, 0);
    TORCH_CHECK(at != MAP_FAILED, "stand-in device: memory cannot be mapped");
    return static_cast<char*>(at);
  }

  mutable std::mutex mutex_;
  std::map<size_t, size_t> free_, taken_;  // by place, their size
  size_t used_ = 0, most_used_ = 0, limit_ = kBytes;
  char *tensors_ = nullptr, *operators_ = nullptr;
};

Memory& memory() {
  static Memory& it = *new Memory;  // tensors of static life outlive everything else
  return it;
}

void say_and_die(int signal, siginfo_t* info, void*) {
  if (memory().has(info->si_addr)) {
    constexpr char kText[] = "stand-in device: the host touched device memory\n";
    (void)!::write(STDERR_FILENO, kText, sizeof kText - 1);
  }
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

struct Allocator final : c10::DeviceAllocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* const data = bytes > 0 ? memory().take(bytes) : nullptr;
    return {data, data, raw_deleter(), device()};
  }
  c10::DeleterFnPtr raw_deleter() const override {
    return [](void* data) {
      if (data != nullptr) memory().give(data);
    };
  }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    std::memcpy(memory().opened(to), memory().opened(const_cast<void*>(from)), bytes);
  }
  bool initialized() override { return true; }
  void emptyCache(c10::MempoolId_t) override {}
  void recordStream(const c10::DataPtr&, c10::Stream) override {}
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex) override {
    const auto use = memory().use();
    c10::CachingDeviceAllocator::DeviceStats out;
    auto& all = out.allocated_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)];
    all.current = static_cast<std::int64_t>(use.now);
    all.peak = static_cast<std::int64_t>(use.most);
    return out;
  }
  void resetAccumulatedStats(c10::DeviceIndex) override {}
  void resetPeakStats(c10::DeviceIndex) override { memory().forget_most(); }
  std::pair<size_t, size_t> getMemoryInfo(c10::DeviceIndex) override {
    const auto use = memory().use();
    return {use.limit - std::min(use.limit, use.now), use.limit};
  }
};

// Host memory from which copies do not wait.
struct PinnedAllocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* const data = bytes > 0 ? c10::GetCPUAllocator()->raw_allocate(bytes) : nullptr;
    const std::lock_guard lock(mutex_);
    if (data != nullptr) pieces_[static_cast<char*>(data)] = bytes;
    return {data, data, raw_deleter(), c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override;
  void copy_data(void* to, const void* from, std::size_t bytes) const override { std::memcpy(to, from, bytes); }
  bool has(const void* pointer) const {
    const std::lock_guard lock(mutex_);
    const auto after = pieces_.upper_bound(static_cast<const char*>(pointer));
    return after != pieces_.begin() && pointer < std::prev(after)->first + std::prev(after)->second;
  }
  void forget(void* data) {
    const std::lock_guard lock(mutex_);
    pieces_.erase(static_cast<char*>(data));
  }

 private:
  mutable std::mutex mutex_;
  std::map<const char*, size_t> pieces_;
};

PinnedAllocator& pinned() {
  static PinnedAllocator& it = *new PinnedAllocator;
  return it;
}

c10::DeleterFnPtr PinnedAllocator::raw_deleter() const {
  return [](void* data) {
    if (data == nullptr) return;
    pinned().forget(data);
    c10::GetCPUAllocator()->raw_deallocate(data);
  };
}

// What streams beside the first were asked for and have not done: copies from pinned memory. They do it when somebody waits for it, not before, so that who
// forgets to wait reads what was there.
class Later {
 public:
  void add(std::function<void()> copy) {
    const std::lock_guard lock(mutex_);
    waiting_.emplace_back(++asked_, std::move(copy));
  }
  std::uint64_t asked() const {
    const std::lock_guard lock(mutex_);
    return asked_;
  }
  void do_until(std::uint64_t number) {
    const std::lock_guard lock(mutex_);
    while (!waiting_.empty() && waiting_.front().first <= number) {
      waiting_.front().second();
      waiting_.pop_front();
    }
  }

 private:
  mutable std::mutex mutex_;
  std::uint64_t asked_ = 0;
  std::deque<std::pair<std::uint64_t, std::function<void()>>> waiting_;
};

Later& later() {
  static Later& it = *new Later;
  return it;
}

thread_local c10::StreamId current_stream = 0;

// The first stream does at once what it is asked for; all others are one. An event is the number of the last copy before it.
struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return kType; }
  c10::Device exchangeDevice(c10::Device) const override { return device(); }
  c10::Device getDevice() const override { return device(); }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device where) const override { return c10::Stream(c10::Stream::UNSAFE, where, current_stream); }
  c10::Stream getDefaultStream(c10::Device where) const override { return c10::Stream(c10::Stream::DEFAULT, where); }
  c10::Stream getStreamFromGlobalPool(c10::Device where, bool) const override { return c10::Stream(c10::Stream::UNSAFE, where, 1); }
  c10::Stream getNewStream(c10::Device where, int) const override { return c10::Stream(c10::Stream::UNSAFE, where, 1); }
  c10::Stream exchangeStream(c10::Stream stream) const override {
    const c10::Stream before = getStream(stream.device());
    current_stream = stream.id();
    return before;
  }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  void destroyEvent(void* event, c10::DeviceIndex) const noexcept override { delete static_cast<std::uint64_t*>(event); }
  void record(void** event, const c10::Stream& stream, c10::DeviceIndex, c10::EventFlag) const override {
    if (*event == nullptr) *event = new std::uint64_t(0);
    *static_cast<std::uint64_t*>(*event) = stream.id() == 0 ? 0 : later().asked();
  }
  void block(void* event, const c10::Stream& stream) const override {
    if (event != nullptr && stream.id() == 0) later().do_until(*static_cast<std::uint64_t*>(event));
  }
  bool queryEvent(void*) const override { return true; }
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override { synchronizeDevice(0); }
  void synchronizeDevice(c10::DeviceIndex) const override {
    ++wait_count;
    later().do_until(later().asked());
  }
};

struct Hooks final : at::PrivateUse1HooksInterface {
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  bool isAvailable() const override { return true; }
  bool isBuilt() const override { return true; }
  void init() const override {}
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  void setCurrentDevice(c10::DeviceIndex) const override {}
  // Operators draw by the CPU's.
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override { return at::detail::getDefaultCPUGenerator(); }
  at::Device getDeviceFromPtr(void*) const override { return device(); }
  at::Allocator* getPinnedMemoryAllocator() const override { return &pinned(); }
  bool isPinnedPtr(const void* data) const override { return pinned().has(data); }
};

// The same tensor as operators see it.
Tensor opened(const Tensor& tensor) {
  if (!tensor.defined() || tensor.device().type() != kType) return tensor;
  void* const data = tensor.storage().mutable_data();
  c10::Storage storage(c10::Storage::use_byte_size_t(), tensor.storage().nbytes(),
                       c10::DataPtr(data != nullptr ? memory().opened(data) : nullptr, c10::Device(c10::kCPU)), nullptr, false);
  Tensor out = at::detail::make_tensor<c10::TensorImpl>(std::move(storage), c10::DispatchKeySet(c10::DispatchKey::CPU), tensor.dtype());
  out.unsafeGetTensorImpl()->set_sizes_and_strides(tensor.sizes(), tensor.strides(), tensor.storage_offset());
  return out;
}

void count_copy(const Tensor& from, const Tensor& to, bool non_blocking) {
  if (inside_operators > 0 || from.device() == to.device()) return;
  ++(to.is_cpu() ? to_host_count : to_device_count);
  // LibTorch's CUDA copies wait for their end, unless they are asked not to; then, those from memory that is not pinned.
  if (to.is_cpu() || !non_blocking || !pinned().has(from.storage().data())) ++wait_count;
}

Tensor empty_of_format(c10::SymIntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>,
                       std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(C10_AS_INTARRAYREF_SLOW(size), c10::GetAllocator(kType), kKeys, c10::dtype_or_default(dtype), format);
}

Tensor empty_of_strides(c10::SymIntArrayRef size, c10::SymIntArrayRef stride, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                        std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride), c10::GetAllocator(kType), kKeys,
                                           c10::dtype_or_default(dtype));
}

Tensor copy_from(const Tensor& from, const Tensor& to, bool non_blocking) {
  count_copy(from, to, non_blocking);
  if (non_blocking && current_stream != 0 && from.is_cpu() && pinned().has(from.storage().data())) {
    later().add([from, to] { opened(to).copy_(from); });
    return to;
  }
  opened(to).copy_(opened(from));
  return to;
}

Tensor copy_from_and_resize(const Tensor& from, const Tensor& to) {
  at::native::resize_(to, from.sizes(), std::nullopt);
  return copy_from(from, to, false);
}

Tensor as_strided(const Tensor& self, c10::SymIntArrayRef size, c10::SymIntArrayRef stride, std::optional<c10::SymInt> offset) {
  return at::native::as_strided_tensorimpl(self, C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride),
                                           offset ? std::optional(offset->guard_int(__FILE__, __LINE__)) : std::nullopt);
}

Tensor view(const Tensor& self, c10::SymIntArrayRef size) { return at::native::view(self, C10_AS_INTARRAYREF_SLOW(size)); }

Tensor reshape_alias(const Tensor& self, c10::SymIntArrayRef size, c10::SymIntArrayRef stride) {
  return at::native::_reshape_alias(self, C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride));
}

const Tensor& resize(const Tensor& self, c10::SymIntArrayRef size, std::optional<at::MemoryFormat> format) {
  return at::native::resize_(self, C10_AS_INTARRAYREF_SLOW(size), format);
}

at::Scalar number_of(const Tensor& self) {
  ++wait_count;
  return at::native::_local_scalar_dense_cpu(opened(self));
}

// What CUDA refuses: tensors of different devices, numbers on the host aside.
class SameDevice {
 public:
  explicit SameDevice(std::string name) : name_(std::move(name)) {}
  void check(const Tensor& tensor) {
    if (!tensor.defined() || (tensor.dim() == 0 && tensor.is_cpu())) return;
    if (!seen_) seen_ = tensor.device();
    TORCH_CHECK(*seen_ == tensor.device(), "stand-in device: ", name_, " got tensors on ", *seen_, " and ", tensor.device());
  }

 private:
  std::string name_;
  std::optional<c10::Device> seen_;
};

void count_operator() {
  ++operator_count;
  if (left_until_lost >= 0 && left_until_lost-- == 0) {
    left_until_lost = 0;
    throw c10::AcceleratorError({__func__, __FILE__, __LINE__}, 1, "stand-in device: the device was lost");
  }
}

// The size of what they give depends on numbers, for which a GPU waits.
bool waits_for_a_size(const std::string& name) {
  static const std::set<std::string> names{"aten::nonzero",  "aten::masked_select",    "aten::_unique2", "aten::unique_dim", "aten::unique_consecutive",
                                           "aten::bincount", "aten::repeat_interleave"};
  return names.contains(name);
}

// Runs on the CPU what the tensors are opened to; results that are no argument go to device memory.
void run_opened(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const auto& schema = op.schema();
  const size_t count = schema.arguments().size();
  const std::vector<c10::IValue> given(stack->end() - static_cast<std::ptrdiff_t>(count), stack->end());
  torch::jit::drop(*stack, count);
  c10::Device where = device();
  for (size_t i = 0; i < count; ++i) {
    const c10::IValue& value = given[i];
    // What has no size yet gets one, for which the opened memory is no place.
    if (value.isTensor() && schema.arguments()[i].is_out() && value.toTensor().numel() == 0) {
      stack->emplace_back(at::empty({0}, value.toTensor().options().device(at::kCPU)));
    } else if (value.isTensor()) {
      stack->emplace_back(opened(value.toTensor()));
    } else if (value.isTensorList()) {
      std::vector<Tensor> list;
      for (const Tensor& tensor : value.toTensorVector()) list.push_back(opened(tensor));
      stack->emplace_back(std::move(list));
    } else if (value.isOptionalTensorList()) {
      c10::List<std::optional<Tensor>> list;
      for (const auto& tensor : value.toOptionalTensorVector()) list.push_back(tensor ? std::optional(opened(*tensor)) : std::nullopt);
      stack->emplace_back(std::move(list));
    } else if (value.isDevice()) {
      where = value.toDevice();
      stack->emplace_back(c10::Device(c10::kCPU));
    } else {
      stack->push_back(value);
    }
  }
  op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
  const auto there = [&](const Tensor& result) {
    if (!result.defined()) return result;
    Tensor out = at::empty_strided(result.sizes(), result.strides(), result.options().device(where));
    opened(out).copy_(result);
    return out;
  };
  const auto& returns = schema.returns();
  for (size_t i = 0; i < returns.size(); ++i) {
    c10::IValue& value = (*stack)[stack->size() - returns.size() + i];
    if (const auto* alias = returns[i].alias_info(); alias && alias->isWrite()) {
      for (size_t argument = 0; argument < count; ++argument) {
        const auto* own = schema.arguments()[argument].alias_info();
        if (!own || own->beforeSets() != alias->beforeSets()) continue;
        if (schema.arguments()[argument].is_out() && given[argument].toTensor().numel() == 0) {
          at::native::resize_(given[argument].toTensor(), value.toTensor().sizes(), std::nullopt);
          opened(given[argument].toTensor()).copy_(value.toTensor());
        }
        value = given[argument];
      }
    } else if (value.isTensor()) {
      value = there(value.toTensor());
    } else if (value.isTensorList()) {
      std::vector<Tensor> list;
      for (const Tensor& tensor : value.toTensorVector()) list.push_back(there(tensor));
      value = std::move(list);
    }
  }
}

void any_operator(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  count_operator();
  const auto& schema = op.schema();
  SameDevice devices(schema.name());
  for (const auto& value : torch::jit::last(*stack, schema.arguments().size())) {
    if (value.isTensor()) devices.check(value.toTensor());
    if (value.isTensorList())
      for (const Tensor& tensor : value.toTensorVector()) devices.check(tensor);
    if (value.isOptionalTensorList())
      for (const auto& tensor : value.toOptionalTensorVector())
        if (tensor) devices.check(*tensor);
  }
  const InsideOperator inside;
  run_opened(op, stack);
  const auto& returns = schema.returns();
  const bool number = returns.size() == 1 && returns[0].type()->kind() != c10::TypeKind::TensorType && returns[0].type()->kind() != c10::TypeKind::ListType;
  if (number || waits_for_a_size(schema.name())) ++wait_count;
}

Tensor convolution(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias, c10::SymIntArrayRef stride, c10::SymIntArrayRef padding,
                   c10::SymIntArrayRef dilation, bool transposed, c10::SymIntArrayRef output_padding, c10::SymInt groups) {
  count_operator();
  SameDevice devices("convolution");
  devices.check(x);
  devices.check(weight);
  if (bias) devices.check(*bias);
  const InsideOperator inside;
  return at::convolution_symint(opened(x), opened(weight), bias ? std::optional(opened(*bias)) : std::nullopt, stride, padding, dilation, transposed,
                                output_padding, std::move(groups))
      .to(x.device());
}

std::tuple<Tensor, Tensor, Tensor> convolution_backward(const Tensor& gradient, const Tensor& x, const Tensor& weight, c10::SymIntArrayRef stride,
                                                        c10::SymIntArrayRef padding, c10::SymIntArrayRef dilation, bool transposed,
                                                        c10::SymIntArrayRef output_padding, c10::SymInt groups, std::array<bool, 3> wanted) {
  count_operator();
  SameDevice devices("convolution_backward");
  for (const auto& tensor : {x, weight, gradient}) devices.check(tensor);
  const InsideOperator inside;
  c10::SymInt channels = gradient.sym_size(1);
  const auto [a, b, c] =
      at::convolution_backward_symint(opened(gradient), opened(x), opened(weight), at::OptionalSymIntArrayRef(c10::SymIntArrayRef(&channels, 1)), stride,
                                      padding, dilation, transposed, output_padding, std::move(groups), wanted);
  const auto back = [&](const Tensor& tensor) { return tensor.defined() ? tensor.to(x.device()) : tensor; };
  return {back(a), back(b), back(c)};
}

// Without gradients the CPU's own fused attention; with them the general way, whose parts have derivatives.
std::int64_t choose_attention(const Tensor&, const Tensor&, const Tensor&, const std::optional<Tensor>&, double, bool, std::optional<double>, bool) {
  return static_cast<std::int64_t>(at::GradMode::is_enabled() ? at::SDPBackend::math : at::SDPBackend::overrideable);
}

std::tuple<Tensor, Tensor, Tensor, Tensor, c10::SymInt, c10::SymInt, Tensor, Tensor, Tensor> fused_attention(const Tensor& query, const Tensor& key,
                                                                                                             const Tensor& value,
                                                                                                             const std::optional<Tensor>& bias, double dropout,
                                                                                                             bool causal, bool, std::optional<double> scale) {
  count_operator();
  SameDevice devices("scaled_dot_product_attention");
  for (const auto& tensor : {query, key, value}) devices.check(tensor);
  if (bias) devices.check(*bias);
  const InsideOperator inside;
  const Tensor out =
      at::scaled_dot_product_attention(opened(query), opened(key), opened(value), bias ? std::optional(opened(*bias)) : std::nullopt, dropout, causal, scale);
  return {out.to(query.device()), {}, {}, {}, query.sym_size(2), key.sym_size(2), {}, {}, {}};
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("_fused_sdp_choice", choose_attention);
  // Else they would be put together from others, as no GPU does.
  library.impl("native_group_norm", torch::CppFunction::makeFromBoxedFunction<&any_operator>());
  library.impl("native_layer_norm", torch::CppFunction::makeFromBoxedFunction<&any_operator>());
  library.impl("_scaled_dot_product_fused_attention_overrideable", fused_attention);
  library.impl("convolution_overrideable", convolution);
  library.impl("convolution_backward_overrideable", convolution_backward);
  library.impl("empty.memory_format", empty_of_format);
  library.impl("empty_strided", empty_of_strides);
  library.impl("_copy_from", copy_from);
  library.impl("_copy_from_and_resize", copy_from_and_resize);
  library.impl("as_strided", as_strided);
  library.impl("view", view);
  library.impl("_reshape_alias", reshape_alias);
  library.impl("resize_", resize);
  library.impl("_local_scalar_dense", number_of);
}
TORCH_LIBRARY_IMPL(_, PrivateUse1, library) { library.fallback(torch::CppFunction::makeFromBoxedFunction<&any_operator>()); }
TORCH_LIBRARY_IMPL(_, AutogradPrivateUse1, library) { library.fallback(torch::CppFunction::makeFallthrough()); }

C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

const bool registered = [] {
  const char* wish = std::getenv("GLYPHSCOPE_TEST_DEVICE");
  if (wish == nullptr || std::strcmp(wish, kName) != 0) return false;
  static Allocator allocator;
  c10::SetAllocator(kType, &allocator);
  c10::register_privateuse1_backend(kName);
  if (const char* bytes = std::getenv("GLYPHSCOPE_STAND_IN_MEMORY")) set_memory(std::strtoull(bytes, nullptr, 10));
  if (const char* operators = std::getenv("GLYPHSCOPE_STAND_IN_LOST_AFTER")) lose_after(std::strtoll(operators, nullptr, 10));
  at::RegisterPrivateUse1HooksInterface(new Hooks);
  struct sigaction action {};
  action.sa_sigaction = say_and_die;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGSEGV, &action, nullptr);
  return true;
}();

}  // namespace

c10::Device device() { return {kType, 0}; }

Traffic traffic() { return {to_device_count, to_host_count, wait_count, operator_count}; }

void reset_traffic() {
  for (auto* count : {&to_device_count, &to_host_count, &wait_count, &operator_count}) *count = 0;
}

void set_memory(std::uint64_t bytes) { memory().set_limit(bytes); }
std::int64_t refusals() { return refusal_count; }
std::uint64_t memory_used() { return memory().use().now; }
void lose_after(std::int64_t operators) { left_until_lost = operators; }

}  // namespace glyphscope::testing::stand_in
