# What a training of several processes takes of MPI, as a library of its own that is opened at run time: without MPI the program is the same.
find_package(MPI QUIET COMPONENTS CXX)
if(MPI_CXX_FOUND)
  add_library(glyphscope_mpi SHARED engine/mpi/library.cpp)
  set_target_properties(glyphscope_mpi PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
  target_compile_definitions(glyphscope_mpi PRIVATE OMPI_SKIP_MPICXX)
  target_link_libraries(glyphscope_mpi PRIVATE MPI::MPI_CXX glyphscope_flags)
endif()
