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

# Debian packages. Those of `engine` build the preset engine-only; `window` adds Qt and what draws plots.
packages_build="build-essential cmake ninja-build ccache mold python3 python3-pip unzip ca-certificates git"
packages_engine="libopencv-dev libexiv2-dev libfreetype-dev fonts-dejavu-core fonts-dejavu-extra libtesseract-dev tesseract-ocr-eng \
  nlohmann-json3-dev libcli11-dev libutf8proc-dev libicu-dev libsentencepiece-dev libssl-dev libgtest-dev libgmock-dev"
packages_window="qt6-base-dev qt6-svg-dev libqcustomplot-dev libgl1-mesa-dev"
packages_checks="clang-format clang-tidy xvfb xauth xdotool"
