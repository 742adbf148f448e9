# What Glyphscope is built from. packaging/setup.sh puts the unpacked wheels under GLYPHSCOPE_DEPS.
if(DEFINED ENV{GLYPHSCOPE_DEPS})
  set(deps_default $ENV{GLYPHSCOPE_DEPS})
else()
  set(deps_default $ENV{HOME}/.cache/glyphscope/deps)
endif()
if(DEFINED ENV{GLYPHSCOPE_DEPS})
  set(GLYPHSCOPE_DEPS ${deps_default} CACHE PATH "" FORCE)  # the environment overrules an older configuration
endif()
set(GLYPHSCOPE_DEPS ${deps_default} CACHE PATH "Where packaging/setup.sh unpacked LibTorch, OpenVINO and the OCR models")
if(NOT EXISTS ${GLYPHSCOPE_DEPS}/torch/torch/lib/libtorch_cpu.so)
  message(FATAL_ERROR "LibTorch is not in ${GLYPHSCOPE_DEPS}. Run packaging/setup.sh first.")
endif()

# LibTorch, CPU part only. The wheel's own TorchConfig.cmake would pull the whole CUDA toolkit in; the CPU library
# needs just these two, and the CUDA run-time libraries that libc10 and kineto were linked against.
set(torch_root ${GLYPHSCOPE_DEPS}/torch/torch)
add_library(glyphscope_torch INTERFACE)
target_include_directories(glyphscope_torch SYSTEM INTERFACE ${torch_root}/include ${torch_root}/include/torch/csrc/api/include)
target_compile_definitions(glyphscope_torch INTERFACE USE_C10D_GLOO USE_DISTRIBUTED)
set(cuda_runtime_dirs ${GLYPHSCOPE_DEPS}/nvidia-cuda-runtime/nvidia/cu13/lib ${GLYPHSCOPE_DEPS}/nvidia-cuda-cupti/nvidia/cu13/lib)
target_link_libraries(glyphscope_torch INTERFACE ${torch_root}/lib/libtorch_cpu.so ${torch_root}/lib/libc10.so)
target_link_options(glyphscope_torch INTERFACE -Wl,--disable-new-dtags -Wl,--allow-shlib-undefined)
foreach(dir ${torch_root}/lib ${cuda_runtime_dirs})
  target_link_options(glyphscope_torch INTERFACE -Wl,-rpath,${dir} -Wl,-rpath-link,${dir})
endforeach()

# OpenVINO runs the OCR models. Its CMake package would insist on TBB's; headers and one library are enough.
set(openvino_root ${GLYPHSCOPE_DEPS}/openvino/openvino)
file(GLOB openvino_library ${openvino_root}/libs/libopenvino.so.*)
add_library(glyphscope_openvino INTERFACE)
target_include_directories(glyphscope_openvino SYSTEM INTERFACE ${openvino_root}/include)
target_link_libraries(glyphscope_openvino INTERFACE ${openvino_library})
target_link_options(glyphscope_openvino INTERFACE -Wl,-rpath,${openvino_root}/libs -Wl,-rpath-link,${openvino_root}/libs)

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED)
find_package(OpenCV REQUIRED COMPONENTS core imgproc imgcodecs)
find_package(Freetype REQUIRED)
find_package(nlohmann_json REQUIRED)
# Errors of JSON name the key at which they arose.
set_property(TARGET nlohmann_json::nlohmann_json APPEND PROPERTY INTERFACE_COMPILE_DEFINITIONS JSON_DIAGNOSTICS=1)
find_package(CLI11 REQUIRED)
pkg_check_modules(EXIV2 REQUIRED IMPORTED_TARGET exiv2)
pkg_check_modules(TESSERACT REQUIRED IMPORTED_TARGET tesseract)
pkg_check_modules(SENTENCEPIECE REQUIRED IMPORTED_TARGET sentencepiece)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(ICU REQUIRED IMPORTED_TARGET icu-uc icu-i18n)
pkg_check_modules(CRYPTO REQUIRED IMPORTED_TARGET libcrypto)
pkg_check_modules(ZIP REQUIRED IMPORTED_TARGET libzip)
pkg_check_modules(PNG REQUIRED IMPORTED_TARGET libpng)
pkg_check_modules(PANGO REQUIRED IMPORTED_TARGET pangocairo pangoft2 cairo-svg cairo-pdf fontconfig)
set_property(TARGET PkgConfig::PANGO PROPERTY INTERFACE_COMPILE_OPTIONS "")  # -pthread alone, which the precompiled header is not made with

# libcsv, which has no file of its own for CMake or pkg-config.
find_path(csv_include csv.h REQUIRED)
find_library(csv_library csv REQUIRED)
add_library(glyphscope_csv INTERFACE)
target_include_directories(glyphscope_csv SYSTEM INTERFACE ${csv_include})
target_link_libraries(glyphscope_csv INTERFACE ${csv_library})

if(GLYPHSCOPE_WINDOW)
  find_package(Qt6 6.4 REQUIRED COMPONENTS Core Gui Widgets PrintSupport)
  find_package(QCustomPlotQt6 QUIET)
  if(NOT QCustomPlotQt6_FOUND)
    find_package(QCustomPlot REQUIRED)
  endif()
endif()

find_program(CCACHE ccache)
if(CCACHE)
  # A precompiled header hides what a file includes; these are the settings ccache's manual asks for.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
                                  CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${CCACHE})
endif()
find_program(MOLD mold)
if(MOLD)
  add_link_options(-fuse-ld=mold)
endif()
