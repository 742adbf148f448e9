#pragma once

#include <string>
#include <vector>

namespace glyphscope {

/// What there is of CUDA. LibTorch's CUDA half is 500 MB that only a machine with a GPU needs: it is opened here, when it is asked for, and registers itself.
struct Cuda {
  bool opened = false;
  bool driver = false;        ///< There is a driver: someone has, or had, a GPU.
  std::string why_not, hint;  ///< A sentence without a full stop each, where it was not opened.
};

/// Opens it, once; fp32 is then computed as such, without TF32. Where the driver sees no GPU nothing is loaded. Nothing may ask LibTorch for CUDA before. Takes
/// some seconds on a machine with a GPU.
const Cuda& open_cuda();

/// How many GPUs the driver sees; 0 without one.
int cuda_device_count();

/// Its name as the driver has it, and what it can.
struct CudaDevice {
  std::string name;
  bool computes_bf16 = false;
  bool has_kernels = false;  ///< LibTorch is built for it, or for older ones of its kind.
};
CudaDevice cuda_device(int index);

}  // namespace glyphscope
