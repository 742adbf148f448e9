#include "core/memory.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <vector>

namespace glyphscope {

namespace {

constexpr size_t kAlignment = 64;                                  // as LibTorch aligns
constexpr size_t kSmallestKept = 1 << 10, kLargestKept = 8 << 20;  // bytes. Larger ones go back: they would leave holes
constexpr size_t kMostKept = 256 << 20;                            // bytes that a thread keeps
constexpr size_t kPage = 4096, kHuge = 2 << 20;

// Blocks of equal size: eight sizes to each doubling.
constexpr size_t kSizes = 8 * (std::bit_width(kLargestKept) - std::bit_width(kSmallestKept)) + 1, kNone = kSizes;

size_t size_index(size_t bytes) {
  if (bytes < kSmallestKept || bytes > kLargestKept) return kNone;
  const auto shift = static_cast<size_t>(std::bit_width(bytes - 1)) - 4;  // so that bytes >> shift, rounded up, is from 8 to 16
  const size_t eighths = (bytes + (size_t{1} << shift) - 1) >> shift;
  return 8 * (shift + 3 + 1 - static_cast<size_t>(std::bit_width(kSmallestKept))) + (eighths - 8);
}
size_t size_of(size_t index) { return (8 + index % 8) << (index / 8 + static_cast<size_t>(std::bit_width(kSmallestKept)) - 4); }

// Stands before each block.
struct alignas(kAlignment) Header {
  size_t index;
};

// What a thread has freed, for the next tensor of that size: no lock is taken, and Linux need not clear pages.
struct Kept {
  std::array<std::vector<Header*>, kSizes> blocks;
  size_t bytes = 0;

  void release() {
    for (auto& list : blocks) {
      for (Header* block : list) std::free(block);
      list.clear();
    }
    bytes = 0;
  }
  ~Kept();
};
thread_local bool t_ended = false;  // tensors of static life are freed after the thread's own
thread_local Kept t_kept;
Kept::~Kept() {
  release();
  t_ended = true;
}

void free_block(void* data) {
  if (data == nullptr) return;
  Header* block = static_cast<Header*>(data) - 1;
  const size_t index = block->index;
  if (index == kNone || t_ended) return std::free(block);
  const size_t bytes = size_of(index);
  if (t_kept.bytes + bytes > kMostKept) t_kept.release();
  t_kept.blocks[index].push_back(block);
  t_kept.bytes += bytes;
}

// LibTorch's own ends the process where there is no memory left.
class ThrowingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    const c10::Device kCpu(c10::DeviceType::CPU);
    if (bytes == 0) return {nullptr, kCpu};
    const size_t index = size_index(bytes);
    Header* block = nullptr;
    if (index != kNone && !t_ended && !t_kept.blocks[index].empty()) {
      block = t_kept.blocks[index].back();
      t_kept.blocks[index].pop_back();
      t_kept.bytes -= size_of(index);
    } else {
      const size_t size = index == kNone ? bytes : size_of(index);
      block = fresh(size);
      if (block == nullptr && !t_ended) {
        t_kept.release();
        block = fresh(size);
      }
      if (block == nullptr) C10_THROW_ERROR(OutOfMemoryError, "there is no memory left for a tensor of " + std::to_string(bytes) + " bytes");
      block->index = index;
    }
    return {block + 1, block + 1, &free_block, kCpu};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free_block; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { std::memcpy(to, from, bytes); }

 private:
  Header* fresh(size_t bytes) const {
    if (bytes > SIZE_MAX - sizeof(Header)) return nullptr;
    void* block = nullptr;
    const bool huge = huge_pages_ && bytes >= kHuge;
    if (::posix_memalign(&block, huge ? kPage : kAlignment, sizeof(Header) + bytes) != 0) return nullptr;
    if (huge) (void)::madvise(block, sizeof(Header) + bytes, MADV_HUGEPAGE);
    return static_cast<Header*>(block);
  }

  const bool huge_pages_ = [] {
    const char* wish = std::getenv("THP_MEM_ALLOC_ENABLE");
    return wish == nullptr || std::strcmp(wish, "0") != 0;
  }();
};

}  // namespace

void set_up_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, static_cast<int>(kLargestKept));
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
  static ThrowingAllocator allocator;
  constexpr std::uint8_t kOverLibTorchs = 1;
  c10::SetCPUAllocator(&allocator, kOverLibTorchs);
}

std::optional<std::uint64_t> address_space_left() {
  struct rlimit limit {};
  if (::getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return std::nullopt;
  std::uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const std::uint64_t used = pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return limit.rlim_cur > used ? limit.rlim_cur - used : 0;
}

}  // namespace glyphscope
