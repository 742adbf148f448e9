#pragma once

#include <string>
#include <vector>

#include "adapt/finetune.h"
#include "app/cli/cli.h"

namespace glyphscope::cli {

/// Options of training an adapter, shared by the verbs that train some.
class FinetuneOptions {
 public:
  void add(CLI::App& verb);
  /// Without sites and sample prompts, which depend on the model. Throws a Failure.
  FinetuneSettings settings(const Context& context) const;
  /// The pictures of --data; says what is left out. Throws a Failure.
  PictureSet read_pictures(const Context& context, const FinetuneSettings& settings) const;

 private:
  std::string data_, init_ = "gaussian", schedule_ = "constant";
  FinetuneSettings settings_;
};

}  // namespace glyphscope::cli
