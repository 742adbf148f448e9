#pragma once

#include <map>
#include <vector>

#include "core/progress.h"
#include "patching/kv_recorder.h"
#include "patching/patch_plan.h"

namespace glyphscope {

/// The taps of a run in which prompt K and V do not depend on the step (cross-attention): K and V of each prompt are
/// computed once a site for the whole run, and each batch row gets those that its prompt and its plan ask for.
class PromptTaps : public Taps {
 public:
  /// One batch row: the prompt it has, and what it sees instead. The plan must outlive the taps; null: nothing.
  struct Row {
    int prompt = 0;
    const PatchPlan* plan = nullptr;
  };

  /// prompts: one embedding [1, tokens, width] each. records: null, or for each prompt a record to take K and V from
  /// where a patch sees that prompt (patching), null for those that are projected here (injection).
  PromptTaps(std::vector<torch::Tensor> prompts, std::vector<Row> rows, CancelToken cancel, std::vector<const KvRecord*> records = {});

  void begin_step(int step) { step_ = step; }
  void enter_attention() override { cancel_.check(); }
  KeyValue prompt_kv(int site, const torch::Tensor& embedding, const Project& project) override;

 private:
  struct Choice {
    torch::Tensor key, value;  // [rows, heads] int32
    bool recorded = false;     // some are recorded ones, which may change from step to step
  };
  struct Cached {
    KeyValue prompts;  // stacked, [prompts, heads, tokens, head dimension]
    Choice choice;     // what `batch` was put together by
    KeyValue batch;
  };
  Choice choose(int site, std::int64_t heads) const;

  std::vector<torch::Tensor> prompts_;
  std::vector<Row> rows_;
  CancelToken cancel_;
  std::vector<const KvRecord*> records_;
  std::map<int, Cached> cache_;
  int step_ = 0;
};

}  // namespace glyphscope
