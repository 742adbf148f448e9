#include "core/memory.h"

#include <malloc.h>

namespace glyphscope {

void keep_freed_memory() {
#ifdef __GLIBC__
  // Larger blocks are mapped, and unmapped when they are freed: what is made of them takes so long that new pages do not matter, and kept they would leave
  // holes. At 32 MiB a training step of SD 1.5's layers takes a sixth more memory, and those of the demo models are no faster.
  constexpr int kMappedFrom = 8 << 20;  // bytes
  constexpr int kKept = 1 << 30;
  mallopt(M_MMAP_THRESHOLD, kMappedFrom);
  mallopt(M_TRIM_THRESHOLD, kKept);
  mallopt(M_ARENA_MAX, 1);  // those of other threads give back what is free whatever is said here
#endif
}

}  // namespace glyphscope
