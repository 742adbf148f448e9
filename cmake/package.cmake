# What a package has, and where: `cmake --install`, and CPack's .deb. LibTorch and OpenVINO are private, under one folder; all else is Debian's.
# Only what computes on the CPU: a GPU's libraries are three times as large, and are what packaging/setup.sh --gpu installs.
include(GNUInstallDirs)
set(home lib/glyphscope)
install(TARGETS glyphscope glyphscope-main RUNTIME DESTINATION ${home}/bin)
file(GLOB private_libraries
  ${torch_root}/lib/libtorch_cpu.so ${torch_root}/lib/libc10.so ${torch_root}/lib/libgomp*.so* ${torch_root}/lib/libgfortran*.so* ${torch_root}/lib/libopenblas*.so*
  ${GLYPHSCOPE_DEPS}/nvidia-cuda-runtime/nvidia/cu13/lib/libcudart.so.* ${GLYPHSCOPE_DEPS}/nvidia-cuda-cupti/nvidia/cu13/lib/libcupti.so.*
  ${openvino_root}/libs/libopenvino.so.* ${openvino_root}/libs/libopenvino_intel_cpu_plugin.so ${openvino_root}/libs/libopenvino_onnx_frontend.so.*
  ${openvino_root}/libs/libtbb.so.* ${openvino_root}/libs/libtbbmalloc.so.* ${openvino_root}/libs/libtbbbind*.so.* ${openvino_root}/libs/libhwloc.so.*)
install(PROGRAMS ${private_libraries} DESTINATION ${home}/lib)
install(DIRECTORY resources/ DESTINATION ${home}/share/glyphscope
  PATTERN pictures EXCLUDE PATTERN arena EXCLUDE PATTERN autopsy EXCLUDE PATTERN edits EXCLUDE)
install(DIRECTORY ${GLYPHSCOPE_DEPS}/rapidocr-onnxruntime/rapidocr_onnxruntime/models/ DESTINATION ${home}/share/glyphscope/ocr)
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs FILES_MATCHING PATTERN "*.md")
install(FILES README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright)
install(FILES packaging/linux/glyphscope.desktop DESTINATION ${CMAKE_INSTALL_DATADIR}/applications)
install(FILES packaging/linux/org.glyphscope.Glyphscope.metainfo.xml DESTINATION ${CMAKE_INSTALL_DATADIR}/metainfo)
install(FILES packaging/linux/glyphscope-mime.xml DESTINATION ${CMAKE_INSTALL_DATADIR}/mime/packages RENAME glyphscope.xml)
install(FILES packaging/linux/glyphscope.svg DESTINATION ${CMAKE_INSTALL_DATADIR}/icons/hicolor/scalable/apps)
foreach(size 48 128 256)
  install(FILES resources/icons/glyphscope-${size}.png DESTINATION ${CMAKE_INSTALL_DATADIR}/icons/hicolor/${size}x${size}/apps RENAME glyphscope.png)
endforeach()
# Libraries are found beside the program, wherever it lies; what is generated is written by the program itself.
install(CODE [[
  set(root $ENV{DESTDIR}${CMAKE_INSTALL_PREFIX})
  set(program ${root}/lib/glyphscope/bin)
  execute_process(COMMAND patchelf --force-rpath --set-rpath $ORIGIN/../lib ${program}/glyphscope-main COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND strip ${program}/glyphscope-main ${program}/glyphscope COMMAND_ERROR_IS_FATAL ANY)
  file(MAKE_DIRECTORY ${root}/bin ${root}/share/man/man1 ${root}/share/bash-completion/completions)
  file(CREATE_LINK ../lib/glyphscope/bin/glyphscope ${root}/bin/glyphscope SYMBOLIC)
  execute_process(COMMAND ${program}/glyphscope describe man OUTPUT_FILE ${root}/share/man/man1/glyphscope.1 COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND gzip -9nf ${root}/share/man/man1/glyphscope.1 COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND ${program}/glyphscope describe bash OUTPUT_FILE ${root}/share/bash-completion/completions/glyphscope COMMAND_ERROR_IS_FATAL ANY)
]])

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME glyphscope)
set(CPACK_PACKAGE_CONTACT "The founders of Glyphscope <glyphscope@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "workbench for the text that diffusion models write")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "Finds the attention layers of a text-to-image diffusion model that write text,\nshows them, and uses them: edits the text of images, trains adapters on just\nthose layers, keeps listed words out of images. Computes on the CPU.")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${torch_root}/lib ${openvino_root}/libs ${GLYPHSCOPE_DEPS}/nvidia-cuda-runtime/nvidia/cu13/lib ${GLYPHSCOPE_DEPS}/nvidia-cuda-cupti/nvidia/cu13/lib)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "fonts-dejavu-core, fonts-dejavu-extra")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "tesseract-ocr-eng, xdg-utils")
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_OUTPUT_FILE_PREFIX ${CMAKE_BINARY_DIR}/packages)
set(CPACK_STRIP_FILES OFF)
include(CPack)
