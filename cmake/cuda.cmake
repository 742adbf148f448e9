# The CUDA kernels, built by nvcc 13 (where packaging/setup.sh --cuda put it, on PATH, or in /usr/local/cuda) and linked with torch's
# CUDA library. That library needs
# cuDNN, cuBLAS and others at run time only; on a machine with a GPU they are on the loader's path.
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80 90)
endif()
find_program(nvcc nvcc HINTS ${GLYPHSCOPE_DEPS}/cuda/bin PATHS /usr/local/cuda/bin)
if(NOT nvcc)
  message(FATAL_ERROR "The preset cuda needs nvcc 13: run packaging/setup.sh --cuda.")
endif()
set(CMAKE_CUDA_COMPILER ${nvcc})
enable_language(CUDA)
set(CMAKE_CUDA_STANDARD 17)  # CMake 3.25 does not know nvcc 13's C++20
# The language links this. CMake 3.25's package CUDAToolkit fails where a part that nobody needs is missing.
set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)

# Opened at run time, from beside the program.
add_library(glyphscope_kernels SHARED engine/device/select_heads.cu engine/device/dequantize.cu)
target_include_directories(glyphscope_kernels PRIVATE engine)
set_target_properties(glyphscope_kernels PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
