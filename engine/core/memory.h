#pragma once

namespace glyphscope {

/// Lets the process keep memory that it has freed, up to a gigabyte, for what it asks for next. To be called once, at a program's start.
///
/// Each step of a denoising or a training asks for tensors of the same sizes. Left to itself, glibc gives the large ones back to the system, which clears
/// fresh pages for the next: a fifth to a third of a training step on a small U-Net (tests/README.md).
void keep_freed_memory();

}  // namespace glyphscope
