#include "core/memory.h"

#include <malloc.h>

namespace glyphscope {

void keep_freed_memory() {
#ifdef __GLIBC__
  constexpr int kMappedFrom = 32 << 20;  // bytes; the most that glibc takes. Larger blocks are mapped, and unmapped when they are freed
  constexpr int kKept = 1 << 30;
  mallopt(M_MMAP_THRESHOLD, kMappedFrom);
  mallopt(M_TRIM_THRESHOLD, kKept);
  mallopt(M_ARENA_MAX, 1);  // those of other threads give back what is free whatever is said here
#endif
}

}  // namespace glyphscope
