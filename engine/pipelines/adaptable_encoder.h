#pragma once

#include <torch/nn/module.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace glyphscope {

/// A text encoder to which adapters may be attached. Its weights come and go.
class AdaptableEncoder {
 public:
  virtual ~AdaptableEncoder() = default;
  /// Of the component: "text_encoder_2".
  virtual const std::string& component() const = 0;
  virtual bool is_t5() const = 0;
  /// Waits for the tokenizer, which is read while weights are. Throws a Failure if it cannot be read.
  virtual void read_tokenizer() const = 0;
  /// The network, whose modules are named as transformers names them, without CLIP's prefix; loaded if it is not there. Throws a Failure.
  virtual torch::nn::Module& network() = 0;

  /// Attaches something to the network; what it returns is kept while the network is there.
  using Attach = std::function<std::shared_ptr<void>(torch::nn::Module&)>;
  /// What is attached whenever it is loaded, in place of what was; prompts that were read before are read again. Throws what an Attach throws; then nothing
  /// is attached.
  virtual void set_attached(std::vector<Attach> attached) = 0;
  /// While it is trained its weights stay, and no prompt is remembered: what it says of one changes, and has a graph.
  virtual void set_training(bool training) = 0;
};

}  // namespace glyphscope
