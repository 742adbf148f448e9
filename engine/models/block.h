#pragma once

#include <torch/types.h>

#include <functional>
#include <vector>

namespace torch::nn {
class Module;
}

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

/// Runs a block of a network, checkpointed if that is asked for and gradients are recorded. module: holds every parameter and adapter that the block
/// trains, and outlives the graph. inputs: all tensors that carry gradients into the block; what else it reads, it holds by value.
Tensors checkpointed(const torch::nn::Module& module, const Tensors& inputs, const std::function<Tensors(const Tensors&)>& block);

}  // namespace glyphscope
