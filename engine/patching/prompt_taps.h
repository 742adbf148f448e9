#pragma once

#include <map>
#include <vector>

#include "core/progress.h"
#include "patching/kv_recorder.h"
#include "patching/patch_plan.h"

namespace glyphscope {

/// Whose K and V each head of each batch row gets, [rows, heads] each.
struct HeadChoice {
  torch::Tensor key, value;                    ///< Indices into some list of them, int32.
  torch::Tensor own;                           ///< The same of what it has without any plan.
  torch::Tensor key_strength, value_strength;  ///< How far it goes from its own to what it gets, fp32.
  bool patched = false;                        ///< Some head sees another prompt than its row's own.
  bool blended = false;                        ///< Some strength is not 1.
  bool operator==(const HeadChoice& other) const;
};

/// The taps of a run in which prompt K and V do not depend on the step (cross-attention): K and V of each prompt are
/// computed once a site for the whole run, and each batch row gets those that its prompt and its plan ask for.
class PromptTaps : public Taps {
 public:
  /// One batch row: the prompt it has, and what it sees instead. The plan must outlive the taps; null: nothing.
  struct Row {
    int prompt = 0;
    const PatchPlan* plan = nullptr;
  };

  /// prompts: of one row and as many tokens each; all have a mask, or none. records: null, or for each prompt a record to take K and V from
  /// where a patch sees that prompt (patching), null for those that are projected here (injection).
  PromptTaps(std::vector<PromptStates> prompts, std::vector<Row> rows, CancelToken cancel, std::vector<const KvRecord*> records = {});

  void begin_step(int step) { step_ = step; }
  void enter_attention() override { cancel_.check(); }
  KeyValue prompt_kv(int site, const PromptStates& prompt, const Project& project) override;

 private:
  struct Cached {
    KeyValue prompts;   // stacked, [prompts, heads, tokens, head dimension]
    HeadChoice choice;  // what `batch` was put together by
    bool recorded = false;
    KeyValue batch;
  };
  std::vector<PromptStates> prompts_;
  std::vector<Row> rows_;
  CancelToken cancel_;
  std::vector<const KvRecord*> records_;
  std::map<int, Cached> cache_;
  int step_ = 0;
};

/// The taps of a run in which prompt K and V change from step to step and with the picture (joint attention): rows that
/// see another prompt take K and V from the row of the same batch that has that prompt.
class LockstepTaps : public Taps {
 public:
  struct Row {
    const PatchPlan* plan = nullptr;  ///< Must outlive the taps; null: nothing.
    std::map<int, int> sources;       ///< By prompt that the plan sees, the batch row to take its K and V from.
  };
  LockstepTaps(std::vector<Row> rows, CancelToken cancel) : rows_(std::move(rows)), cancel_(std::move(cancel)) {}

  void begin_step(int step) { step_ = step; }
  void enter_attention() override { cancel_.check(); }
  KeyValue prompt_kv(int site, const PromptStates& prompt, const Project& project) override;

 private:
  std::vector<Row> rows_;
  CancelToken cancel_;
  int step_ = 0;
};

}  // namespace glyphscope
