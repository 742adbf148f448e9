#pragma once

#include <string>
#include <vector>

#include "adapt/finetune_settings.h"
#include "app/cli/cli.h"

namespace glyphscope::cli {

/// Options of training an adapter, shared by the verbs that train some.
class FinetuneOptions {
 public:
  void add(CLI::App& verb);
  /// Without sites and sample prompts, which depend on the model. Throws a Failure.
  FinetuneSettings settings(const Context& context) const;
  /// Reads the pictures of --data, which the session then has; says what is left out. Throws a Failure.
  void read_pictures(const Context& context, const FinetuneSettings& settings) const;
  const std::string& data() const { return data_; }

 private:
  std::string data_, method_ = "lora", init_ = "gaussian", schedule_ = "constant";
  FinetuneSettings settings_;
};

}  // namespace glyphscope::cli
