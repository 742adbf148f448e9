# The wheels Glyphscope is built from, pinned by hash: name, version, megabytes, file, sha256.
# Sourced by setup.sh. A wheel is only unpacked, never installed into a Python.
wheels=(
  "torch 2.15.0 539 torch-2.15.0-cp311-cp311-manylinux_2_28_x86_64.whl 48c2d861134c0b5697c7602cb5ffa68f62a2989fdcd1717e593356f67996ca1e"
  "nvidia-cuda-runtime 13.2.75 3 nvidia_cuda_runtime-13.2.75-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl 72bf454902da594e0b833cadeddc8b7100ce1c7cf7ed9023943931be1aa913b7"
  "nvidia-cuda-cupti 13.2.75 12 nvidia_cuda_cupti-13.2.75-py3-none-manylinux_2_25_x86_64.whl f75aca6bef89c625a4076a820302bb06764daa1d21595286f6bee5e237d3a187"
  "openvino 2026.4.1 59 openvino-2026.4.1-22982-cp311-cp311-manylinux_2_28_x86_64.whl 2d22b1da03f7caf74df30e9f6417d0ab2f637e4a38e08e1dcd294d2c37407aaf"
  "rapidocr-onnxruntime 1.4.4 15 rapidocr_onnxruntime-1.4.4-py3-none-any.whl 971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf"
)

# Debian packages. Those of `engine` build the preset engine-only; `window` adds Qt and what draws plots.
packages_build="build-essential cmake ninja-build ccache mold python3 python3-pip unzip ca-certificates git"
packages_engine="libopencv-dev libfreetype-dev fonts-dejavu-core fonts-dejavu-extra libtesseract-dev tesseract-ocr-eng \
  nlohmann-json3-dev libcli11-dev libspdlog-dev libutf8proc-dev libssl-dev libgtest-dev libgmock-dev libbenchmark-dev"
packages_window="qt6-base-dev qt6-svg-dev libqcustomplot-dev libgl1-mesa-dev"
packages_checks="clang-format clang-tidy xvfb xauth xdotool"
