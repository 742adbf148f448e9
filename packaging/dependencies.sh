# The wheels Glyphscope is built from, pinned by hash: name, version, megabytes, file, sha256.
# Sourced by setup.sh. A wheel is only unpacked, never installed into a Python.
# The first is what downloads the others: Debian's pip starts a download that breaks off from the beginning again.
wheels=(
  "pip 26.3 2 pip-26.3-py3-none-any.whl f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"
  "torch 2.15.0 539 torch-2.15.0-cp311-cp311-manylinux_2_28_x86_64.whl 48c2d861134c0b5697c7602cb5ffa68f62a2989fdcd1717e593356f67996ca1e"
  "nvidia-cuda-runtime 13.2.75 3 nvidia_cuda_runtime-13.2.75-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl 72bf454902da594e0b833cadeddc8b7100ce1c7cf7ed9023943931be1aa913b7"
  "nvidia-cuda-cupti 13.2.75 12 nvidia_cuda_cupti-13.2.75-py3-none-manylinux_2_25_x86_64.whl f75aca6bef89c625a4076a820302bb06764daa1d21595286f6bee5e237d3a187"
  "openvino 2026.4.1 59 openvino-2026.4.1-22982-cp311-cp311-manylinux_2_28_x86_64.whl 2d22b1da03f7caf74df30e9f6417d0ab2f637e4a38e08e1dcd294d2c37407aaf"
  "rapidocr-onnxruntime 1.4.4 15 rapidocr_onnxruntime-1.4.4-py3-none-any.whl 971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf"
)
# The CUDA compiler, for --cuda where no nvcc 13 is installed.
wheels_cuda=(
  "nvidia-cuda-nvcc 13.2.86 44 nvidia_cuda_nvcc-13.2.86-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl 7d3f56c8d705bad35bbba69eb0470d90856fd5d4dc48c6a6173aaf1e9f887cf5"
  "nvidia-nvvm 13.2.86 64 nvidia_nvvm-13.2.86-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl a9244f3209922d655612c11ebb4117ea1f80983cb2b215c9cccded127282cebc"
  "nvidia-cuda-crt 13.2.86 1 nvidia_cuda_crt-13.2.86-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl e3ab08801bf9b1e6dc979275d25e816bb5000521b648e19c324d5eef0c79f1da"
  "nvidia-cuda-cccl 13.2.86 4 nvidia_cuda_cccl-13.2.86-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl 35da671cf0cecd3539da214a11bb8e7634366c9e950da9c5feecf6c490a65b20"
)
# What LibTorch's CUDA half needs at run time, for --gpu: versions as torch's wheel asks for them.
wheels_gpu=(
  "nvidia-cublas 13.4.1.3 405 nvidia_cublas-13.4.1.3-py3-none-manylinux_2_27_x86_64.whl a5917cb642cfb07f4a0231ee16aec7e2e0357d8cb8b1b78a0c9c68dba3e6afc7"
  "nvidia-cuda-nvrtc 13.2.86 48 nvidia_cuda_nvrtc-13.2.86-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl 8111c5130e967b78222ea2124145f8efe9ce201b752b2579a2513100a53be1c5"
  "nvidia-cufft 12.2.0.57 219 nvidia_cufft-12.2.0.57-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl 34da27fadf3979b0b042c43823f0530be8408b86df31ee0108e1ca0b621d4ef6"
  "nvidia-cufile 1.17.1.22 2 nvidia_cufile-1.17.1.22-py3-none-manylinux_2_27_x86_64.whl 87feaf8c3ad20d3d03a01933181801ff6892bace5c8f0b1e4b48f319d3e62d36"
  "nvidia-cusolver 12.2.0.11 228 nvidia_cusolver-12.2.0.11-py3-none-manylinux_2_27_x86_64.whl fab5778f6769947389a1a6abc07e635576825a08c0ffc68c3ae7f1392c794b42"
  "nvidia-cusparse 12.7.10.12 151 nvidia_cusparse-12.7.10.12-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl 25907c75e4db1581685f06f61cc6cdecc04611765516a52373e0a18ebd69fa00"
  "nvidia-nvjitlink 13.5.37 47 nvidia_nvjitlink-13.5.37-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl 280d7cb9649704145f074b8dbde500de04ce02d0872e066e20a83c17bcaa93eb"
  "nvidia-cudnn-cu13 9.26.0.51 520 nvidia_cudnn_cu13-9.26.0.51-py3-none-manylinux_2_27_x86_64.whl 9c976d539786698c71d6bcdbe2053b7485fae062ff7e1215d2f2ff67b1a2149a"
  "nvidia-cusparselt-cu13 0.8.1 171 nvidia_cusparselt_cu13-0.8.1-py3-none-manylinux2014_x86_64.whl 786ce87568c303fadb5afcc7102d454cd3040d75f6f8626f5db460d1871f4dd0"
  "nvidia-nccl-cu13 2.30.7 216 nvidia_nccl_cu13-2.30.7-py3-none-manylinux_2_18_x86_64.whl cefa7fdb9710efd0f39c5f1be1d61ff6fc9a996c451265bd7fbdcf9455ed4b50"
  "nvidia-nvshmem-cu13 3.7.2 136 nvidia_nvshmem_cu13-3.7.2-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl b9a4f843c62b5dded8ad33fd6d220e007dcd39f06cee549292f5ba14ce4c235c"
)

# Debian packages. Those of `engine` build the preset engine-only; `window` adds Qt and what draws plots.
packages_build="build-essential cmake ninja-build ccache mold python3 python3-pip unzip ca-certificates git"
packages_engine="libopencv-dev libexiv2-dev libcsv-dev libfreetype-dev fonts-dejavu-core fonts-dejavu-extra libtesseract-dev tesseract-ocr-eng \
  nlohmann-json3-dev libcli11-dev libutf8proc-dev libicu-dev libsentencepiece-dev libssl-dev libzip-dev libpng-dev libpango1.0-dev libgtest-dev libgmock-dev libboost-dev"
packages_window="qt6-base-dev libqcustomplot-dev libgl1-mesa-dev"
packages_checks="clang-format clang-tidy xvfb xauth xdotool"
