#pragma once

#include <map>
#include <vector>

#include "core/progress.h"
#include "patching/head_choices.h"
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
    RowTokens tokens = {};  ///< For plans of some tokens only.
  };

  /// table: the denoiser's. prompts: of one row and as many tokens each; all have a mask, or none. records: null, or for each prompt a record to take K and
  /// V from where a patch sees that prompt (patching), null for those that are projected here (injection).
  PromptTaps(const SiteTable& table, std::vector<PromptStates> prompts, const std::vector<Row>& rows, CancelToken cancel,
             std::vector<const KvRecord*> records = {});

  void begin_step(int step);
  void enter_attention() override { cancel_.check(); }
  KeyValue prompt_kv(int site, const PromptStates& prompt, const Project& project) override;

 private:
  struct Cached {
    KeyValue prompts;          // stacked, [prompts, heads, tokens, head dimension]
    std::int64_t version = 0;  // of the choices by which `batch` was put together
    bool recorded = false;     // some of it, which may change from step to step
    KeyValue batch;
  };
  std::vector<PromptStates> prompts_;
  std::vector<const KvRecord*> records_;
  CancelToken cancel_;
  HeadChoices choices_;
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
    RowTokens tokens = {};            ///< For plans of some tokens only.
  };
  /// table: the denoiser's.
  LockstepTaps(const SiteTable& table, const std::vector<Row>& rows, CancelToken cancel);

  void begin_step(int step) {
    step_ = step;
    choices_.begin_step(step);
  }
  void enter_attention() override { cancel_.check(); }
  KeyValue prompt_kv(int site, const PromptStates& prompt, const Project& project) override;
  KeyValue picture_kv(int site, KeyValue own) override;
  torch::Tensor mlp(int site, torch::Tensor out) override;

 private:
  // Each row's own, or that of the row whose it sees; undefined if no patch of this part is at work.
  torch::Tensor rows_for(int site, BlockPart part, torch::Device device);
  std::vector<Row> rows_;
  // What was sent to the device last, by site and part: it seldom changes from step to step.
  std::map<std::pair<int, BlockPart>, std::pair<std::vector<std::int64_t>, torch::Tensor>> sent_;
  CancelToken cancel_;
  HeadChoices choices_;
  int step_ = 0;
};

}  // namespace glyphscope
