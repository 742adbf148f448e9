# One compiler run a folder: what takes time is reading the headers, not the files. -DGLYPHSCOPE_UNITY=OFF compiles each file by itself, as who changes one
# often will want it, and as clang-tidy does.
option(GLYPHSCOPE_UNITY "Compile a folder's files together" ON)

function(glyphscope_unite target)
  if(NOT GLYPHSCOPE_UNITY)
    return()
  endif()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP UNITY_BUILD_UNIQUE_ID UNITY_ID)
  target_compile_options(${target} PRIVATE -Wno-subobject-linkage)  # a file that another includes is no header here
  get_target_property(sources ${target} SOURCES)
  foreach(source ${sources})
    get_filename_component(folder ${source} DIRECTORY)
    get_filename_component(folder "${folder}" NAME)
    if(source MATCHES "[.]cpp$")
      set_source_files_properties(${source} PROPERTIES UNITY_GROUP "${folder}")
    endif()
  endforeach()
endfunction()
