// libglyphscope_mpi.so: what a training of several processes takes of MPI. On host buffers: an adapter's gradients are a few MB.
#include <mpi.h>

namespace {

MPI_Request request = MPI_REQUEST_NULL;

const char* message_of(int code) {
  if (code == MPI_SUCCESS) return nullptr;
  static char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  return text;
}

}  // namespace

extern "C" {

const char* glyphscope_mpi_start(int* rank, int* size, int* local_rank) {
  int provided = 0;
  if (const char* wrong = message_of(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided))) return wrong;
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_rank(MPI_COMM_WORLD, rank);
  MPI_Comm_size(MPI_COMM_WORLD, size);
  MPI_Comm local = MPI_COMM_NULL;
  if (const char* wrong = message_of(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, *rank, MPI_INFO_NULL, &local))) return wrong;
  MPI_Comm_rank(local, local_rank);
  MPI_Comm_free(&local);
  return nullptr;
}

const char* glyphscope_mpi_begin_reduce(double* values, int count) {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return message_of(MPI_Ireduce(rank == 0 ? MPI_IN_PLACE : values, values, count, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD, &request));
}

const char* glyphscope_mpi_begin_broadcast(double* values, int count) { return message_of(MPI_Ibcast(values, count, MPI_DOUBLE, 0, MPI_COMM_WORLD, &request)); }

const char* glyphscope_mpi_test(int* done) { return message_of(MPI_Test(&request, done, MPI_STATUS_IGNORE)); }

void glyphscope_mpi_end(int code) {
  if (code == 0)
    MPI_Finalize();
  else
    MPI_Abort(MPI_COMM_WORLD, code);
}

}  // extern "C"
