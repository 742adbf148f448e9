#pragma once

#include <torch/nn/module.h>

#include <functional>
#include <vector>

namespace glyphscope {

/// While one lives, blocks on this thread keep nothing of their inside for backward, and compute it again there: less memory for more time
/// (arXiv 1604.06174). The gradients are the same, but for the order in which some are summed.
class GradientCheckpointing {
 public:
  explicit GradientCheckpointing(bool on = true);
  ~GradientCheckpointing();
  GradientCheckpointing(const GradientCheckpointing&) = delete;
  GradientCheckpointing& operator=(const GradientCheckpointing&) = delete;

 private:
  bool before_;
};

/// Whether what is computed on this thread is learned from: gradients are recorded, or will be when a block is computed again.
bool learning();

using Tensors = std::vector<torch::Tensor>;

class BlockStream;

/// A part of a network that is computed as one: what it keeps for backward can be dropped and computed again, and its weights can be elsewhere until it is run
/// (BlockStream).
class Block : public torch::nn::Module {
 public:
  /// read_from_outside: other parts of the network read its weights too, so they stay where they are.
  explicit Block(bool read_from_outside = false) : read_from_outside_(read_from_outside) {}

 protected:
  /// Runs compute(inputs). inputs: all tensors that carry gradients into the block; what else compute reads, it holds by value. The module holds every
  /// parameter and adapter that is trained in it, and outlives the graph.
  Tensors run(const Tensors& inputs, const std::function<Tensors(const Tensors&)>& compute) const;

 private:
  friend class BlockStream;
  bool read_from_outside_;
  BlockStream* stream_ = nullptr;  // where its weights come from, if they are not there
  size_t number_ = 0;              // in the stream
};

}  // namespace glyphscope
