#pragma once

#include <cstdint>
#include <optional>

namespace glyphscope {

/// How the process gets memory for tensors. To be called once, at a program's start, before there is one.
///
/// Each step of a denoising or a training asks for tensors of the same sizes. Left to itself, glibc gives the larger ones back to the system, which clears
/// fresh pages for the next: a fifth to a third of a training step on a small U-Net. So each thread keeps what it frees, by size, up to 256 MiB, and asks
/// no other thread for it. Blocks over 8 MiB go back: kept, they would leave holes. Those of 2 MiB and more ask Linux for huge pages, unless PyTorch's own
/// switch says no: a training step of full-size layers is then an eighth to a quarter faster (glyphscope_finetune_steps, with THP_MEM_ALLOC_ENABLE=0 and
/// without). Where there is none left, an exception says so; LibTorch's own allocator would end the process.
void set_up_memory();

/// Bytes of address space that a limit on it (ulimit -v) leaves; nothing where there is no limit.
std::optional<std::uint64_t> address_space_left();

}  // namespace glyphscope
