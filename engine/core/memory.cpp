#include "core/memory.h"

#include <malloc.h>

#include <cstdlib>

namespace glyphscope {

void set_up_memory() {
#ifdef __GLIBC__
  constexpr int kMappedFrom = 8 << 20;  // bytes. At 32 MiB a training step of SD 1.5's layers takes a sixth more memory
  constexpr int kKept = 1 << 30;
  mallopt(M_MMAP_THRESHOLD, kMappedFrom);
  mallopt(M_TRIM_THRESHOLD, kKept);
  mallopt(M_ARENA_MAX, 1);  // those of other threads give back what is free whatever is said here
  ::setenv("THP_MEM_ALLOC_ENABLE", "1", /*overwrite=*/0);
#endif
}

}  // namespace glyphscope
