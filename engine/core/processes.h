#pragma once

#include <cstddef>
#include <memory>

#include "core/progress.h"

namespace glyphscope {

/// The processes that train together, of one machine or several: each has a number, and they sum what each has computed.
class Processes {
 public:
  virtual ~Processes() = default;
  virtual int rank() const = 0;  ///< From 0; that one alone writes files, and speaks.
  virtual int size() const = 0;
  bool leads() const { return rank() == 0; }

  /// Adds up the numbers of all, in place; each gets the same bits. Throws a Failure: cancelled, or another process is lost.
  virtual void sum(double* values, std::size_t count, const CancelToken& cancel) = 0;
  /// Returns when all have called it. Throws as sum().
  void meet(const CancelToken& cancel) {
    double nothing = 0;
    sum(&nothing, 1, cancel);
  }
};

/// The processes that mpirun or srun started, of which this is one.
class MpiProcesses : public Processes {
 public:
  /// Opens our MPI library, which lies beside the program where it was built with MPI. To be made once. Throws a Failure: there is none, or MPI does not start.
  static std::unique_ptr<MpiProcesses> join();
  /// Ends every process of the training, if this one has not left.
  ~MpiProcesses() override;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int local_rank() const { return local_rank_; }  ///< Among those of this machine.
  void sum(double* values, std::size_t count, const CancelToken& cancel) override;
  /// With 0, where all others will: waits for them. Else ends all with that code, after giving the first time to save.
  void leave(int code);

 private:
  MpiProcesses() = default;
  void wait(const CancelToken& cancel);
  int rank_ = 0, size_ = 1, local_rank_ = 0;
  bool left_ = false;
};

}  // namespace glyphscope
