#include "core/memory.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>
#include <malloc.h>
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

namespace glyphscope {

namespace {

// LibTorch's own ends the process where there is no memory left.
class ThrowingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    const c10::Device kCpu(c10::DeviceType::CPU);
    if (bytes == 0) return {nullptr, kCpu};
    constexpr size_t kAlignment = 64, kPage = 4096, kHuge = 2 << 20;  // as LibTorch aligns
    void* data = nullptr;
    const bool huge = huge_pages_ && bytes >= kHuge;
    if (::posix_memalign(&data, huge ? kPage : kAlignment, bytes) != 0 || data == nullptr)
      C10_THROW_ERROR(OutOfMemoryError, "there is no memory left for a tensor of " + std::to_string(bytes) + " bytes");
    if (huge) (void)::madvise(data, bytes, MADV_HUGEPAGE);
    return {data, data, &std::free, kCpu};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &std::free; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { std::memcpy(to, from, bytes); }

 private:
  const bool huge_pages_ = [] {
    const char* wish = std::getenv("THP_MEM_ALLOC_ENABLE");
    return wish == nullptr || std::strcmp(wish, "0") != 0;
  }();
};

}  // namespace

void set_up_memory() {
#ifdef __GLIBC__
  constexpr int kMappedFrom = 8 << 20;  // bytes. At 32 MiB a training step of SD 1.5's layers takes a sixth more memory
  constexpr int kKept = 1 << 30;
  mallopt(M_MMAP_THRESHOLD, kMappedFrom);
  mallopt(M_TRIM_THRESHOLD, kKept);
  mallopt(M_ARENA_MAX, 1);  // those of other threads give back what is free whatever is said here
#endif
  static ThrowingAllocator allocator;
  constexpr std::uint8_t kOverLibTorchs = 1;
  c10::SetCPUAllocator(&allocator, kOverLibTorchs);
}

}  // namespace glyphscope
