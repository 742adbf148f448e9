#pragma once

#include <c10/core/Device.h>

namespace glyphscope::testing {

/// Where tests compute: the stand-in device in a run that has one (GLYPHSCOPE_TEST_DEVICE=standin), else the CPU.
inline c10::Device test_device() { return c10::is_privateuse1_backend_registered() ? c10::Device(c10::DeviceType::PrivateUse1, 0) : c10::Device(c10::kCPU); }

}  // namespace glyphscope::testing
