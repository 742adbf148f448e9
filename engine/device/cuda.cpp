#include "device/cuda.h"

#include <ATen/Context.h>
#include <dlfcn.h>

#include <cstdio>

namespace glyphscope {

namespace {

// What is asked of the driver, whose interface is older than any of its versions. Source: cuda.h.
using Status = int;
constexpr Status kSuccess = 0;
constexpr int kMajorOfCapability = 75, kMinorOfCapability = 76;
constexpr int kNeededVersion = 13000;  // of the CUDA that LibTorch 2.15 is built with

void* driver() {
  static void* const library = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  return library;
}

template <class... Arguments>
bool ask(const char* function, Arguments... arguments) {
  auto* const call = driver() ? reinterpret_cast<Status (*)(Arguments...)>(::dlsym(driver(), function)) : nullptr;
  return call && call(arguments...) == kSuccess;
}

std::string version_text(int version) { return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10); }

Cuda open() {
  if (!driver()) return {false, false, "there is no NVIDIA driver on this machine", "Install one for CUDA " + version_text(kNeededVersion) + " or later"};
  int version = 0;
  if (cuda_device_count() == 0) return {false, true, "the NVIDIA driver sees no GPU", "nvidia-smi tells more"};
  if (!ask("cuDriverGetVersion", &version) || version < kNeededVersion)
    return {false, true, "the NVIDIA driver is too old: it knows CUDA up to " + version_text(version),
            "Install one for CUDA " + version_text(kNeededVersion) + " or later"};
  if (!::dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL)) {
    const char* said = ::dlerror();
    return {false, true, std::string("a GPU is there, but LibTorch's CUDA libraries cannot be loaded: ") + (said ? said : "unknown"),
            "packaging/setup.sh --gpu gets them"};
  }
  at::globalContext().setAllowTF32CuBLAS(false);
  at::globalContext().setAllowTF32CuDNN(false);
  return {true, true, {}, {}};
}

}  // namespace

const Cuda& open_cuda() {
  static const Cuda opened = open();
  return opened;
}

int cuda_device_count() {
  int count = 0;
  return ask("cuInit", 0u) && ask("cuDeviceGetCount", &count) ? count : 0;
}

CudaDevice cuda_device(int index) {
  CudaDevice out;
  int handle = 0, major = 0, minor = 0;
  char name[256] = "";
  if (ask("cuDeviceGet", &handle, index)) {
    if (ask("cuDeviceGetName", &name[0], static_cast<int>(sizeof name), handle)) out.name = name;
    const bool known = ask("cuDeviceGetAttribute", &major, kMajorOfCapability, handle) && ask("cuDeviceGetAttribute", &minor, kMinorOfCapability, handle);
    out.computes_bf16 = known && major >= 8;
    out.has_kernels = known && 10 * major + minor >= 75;  // of torch's wheel
  }
  return out;
}

}  // namespace glyphscope
