#pragma once

#include <torch/types.h>

#include <vector>

#include "core/progress.h"
#include "patching/site.h"
#include "patching/taps.h"

namespace glyphscope {

/// Taps of a pass that is differentiated: the first row's prompt K and V go from its own to another prompt's by a strength each head of each site has, and the
/// gradient by these strengths says what each would do: attribution patching of all sites at once (Nanda, "Attribution Patching", 2023; arXiv 2310.10348).
class AttributionTaps : public Taps {
 public:
  /// table: the denoiser's. strengths: [sites, most heads] fp32 on the device, which may require a gradient. states: the row's own prompt and the other, where
  /// K and V depend on the prompt alone; empty: the other's are those of the batch's second row (joint attention), which no gradient goes into.
  AttributionTaps(const SiteTable& table, torch::Tensor strengths, std::vector<PromptStates> states, CancelToken cancel)
      : table_(table), strengths_(std::move(strengths)), states_(std::move(states)), cancel_(std::move(cancel)) {}

  void enter_attention() override { cancel_.check(); }
  KeyValue prompt_kv(int site, const PromptStates& prompt, const Project& project) override;

 private:
  const SiteTable& table_;
  torch::Tensor strengths_;
  std::vector<PromptStates> states_;
  CancelToken cancel_;
};

}  // namespace glyphscope
