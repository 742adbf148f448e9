#pragma once

#include <torch/types.h>

#include <functional>
#include <memory>
#include <vector>

#include "patching/kv_recorder.h"
#include "pipelines/family_model.h"
#include "schedulers/scheduler.h"

namespace glyphscope {

/// What all batches of a request have from its prompts.
struct ReadPrompts {
  std::vector<FamilyModel::Prompt> prompts;  ///< The request's, then what the unconditional half reads, then what is unwanted.
  int negative = 0, unwanted = 0;            ///< Where those two are.
  bool guided = false;                       ///< There is an unconditional half.
  std::vector<PromptStates> states;          ///< Of each, as sites get it.
  std::vector<KvRecord> records;             ///< With recording: of the request's prompts, empty for one that no plan sees.
};

/// Reads a request's prompts, records their K and V if it wants that, and lets large encoders go, however it ends. Throws a Failure.
ReadPrompts read_prompts(FamilyModel& model, const ModelInfo& info, const Request& request, std::vector<std::string>& notes, const CancelToken& cancel);

/// What was drawn of some rows, in their order.
struct DrawnBatch {
  torch::Tensor latents;
  std::vector<torch::Tensor> images;
  std::vector<std::shared_ptr<const Trajectory>> paths;  ///< If the request keeps them.
  std::int64_t calls = 0, rows = 0;                      ///< Of the denoiser.
  std::vector<std::string> notes;
};

/// The rows of a request that differ, and for each row of the request which of them is its picture. Rows are one where the model reads prompts at its sites
/// alone and they see the same there: all sites patched to see a prompt are that prompt's own picture.
struct DistinctRows {
  std::vector<Row> rows;
  std::vector<std::int64_t> of;
};
DistinctRows distinct_rows(const FamilyModel& model, const ModelInfo& info, const Request& request);

/// How many of a request's rows and of those that they need beside them go through the denoiser together, all parts of guidance counted, when rows from `begin`
/// up to `end` are drawn.
std::int64_t rows_together(const FamilyModel& model, const ModelInfo& info, const Request& request, size_t begin, size_t end);

/// Calls the denoiser once, as it is called for the request's first row alone: to learn what memory that takes.
void call_for_one_row(const FamilyModel& model, const ModelInfo& info, const Request& request, const ReadPrompts& read);

/// Draws a request's rows from `begin` up to `end` together, the unpatched rows with them whose K and V or attention maps they take. called: the denoiser's
/// next call, or the decoding, is done. Throws a Failure.
DrawnBatch draw_batch(const FamilyModel& model, const ModelInfo& info, const Scheduler& scheduler, const Request& request, const ReadPrompts& read,
                      size_t begin, size_t end, const std::function<void()>& called, const CancelToken& cancel);

}  // namespace glyphscope
