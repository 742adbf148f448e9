# The engine is a house of floors, and each room is a library of its own that sees itself and those below it: an include from above does not compile. What a
# room sees is a folder of links, so that all may write "io/files.h".
#
# One compiler run a room: what takes time is reading the headers, not the files. -DGLYPHSCOPE_UNITY=OFF compiles each file by itself, as who changes one often
# will want it, and as clang-tidy does.
option(GLYPHSCOPE_UNITY "Compile a folder's files together" ON)

# rooms: from the ground up. Each gets the target room_NAME; their objects are appended to `objects`.
function(glyphscope_rooms rooms objects)
  set(seen "")
  set(all "")
  foreach(room ${rooms})
    list(APPEND seen ${room})
    set(view ${CMAKE_CURRENT_BINARY_DIR}/rooms/${room})
    file(REMOVE_RECURSE ${view})
    file(MAKE_DIRECTORY ${view})
    foreach(one ${seen})
      file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR}/${one} ${view}/${one} SYMBOLIC)
    endforeach()
    file(GLOB sources CONFIGURE_DEPENDS ${room}/*.cpp)
    add_library(room_${room} OBJECT ${sources})
    target_include_directories(room_${room} PRIVATE ${view})
    target_link_libraries(room_${room} PRIVATE glyphscope_torch nlohmann_json::nlohmann_json glyphscope_flags)
    target_precompile_headers(room_${room} REUSE_FROM glyphscope_pch)
    glyphscope_unite(room_${room})
    list(APPEND all $<TARGET_OBJECTS:room_${room}>)
  endforeach()
  set(${objects} ${all} PARENT_SCOPE)
endfunction()

# Compiles the files of each of a target's folders together.
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

# A line for each of these files, in which NAME is the file's name without its ending: how a folder's files become a list in the program.
function(glyphscope_by_name files line lines)
  set(all "")
  foreach(file ${files})
    get_filename_component(name ${file} NAME_WE)
    string(REPLACE NAME "${name}" one "${line}")
    string(APPEND all "${one}\n")
  endforeach()
  set(${lines} "${all}" PARENT_SCOPE)
endfunction()
