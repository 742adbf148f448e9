#pragma once

#include <vector>

#include "patching/taps.h"
#include "patching/word_tokens.h"

namespace glyphscope {

/// What attention makes of queries and keys, in fp32: [.., queries, keys], rows that sum to 1. mask: of the keys, as AttentionCall has it without its batch; or
/// undefined.
torch::Tensor attention_maps(const torch::Tensor& query, const torch::Tensor& key, const torch::Tensor& mask);

/// Rows whose attention maps are, for some steps, those of another row of the batch: Prompt-to-Prompt (arXiv 2208.01626). What sites read of the prompt is
/// left to the taps beneath.
class MapTaps : public Taps {
 public:
  struct Row {
    std::int64_t row = 0, source = 0;  ///< Of the batch: whose maps are replaced, and by whose.
    TokenAlignment alignment;          ///< Of their prompts.
    int cross_steps = 0;               ///< First step at which the maps over the prompt's tokens are its own again.
    int self_steps = 0;                ///< The same of the maps over the picture's own,
    std::int64_t self_tokens = 0;      ///< in layers where the picture has at most so many tokens.
  };
  /// beneath must outlive this.
  MapTaps(Taps& beneath, std::vector<Row> rows) : beneath_(beneath), rows_(std::move(rows)) {}

  void begin_step(int step) { step_ = step; }
  void enter_attention() override { beneath_.enter_attention(); }
  KeyValue prompt_kv(int site, const PromptStates& prompt, const Project& project) override { return beneath_.prompt_kv(site, prompt, project); }
  KeyValue picture_kv(int site, KeyValue own) override { return beneath_.picture_kv(site, std::move(own)); }
  torch::Tensor mlp(int site, torch::Tensor out) override { return beneath_.mlp(site, std::move(out)); }
  torch::Tensor attended(const AttentionCall& call, torch::Tensor out) override;

 private:
  Taps& beneath_;
  std::vector<Row> rows_;
  int step_ = 0;
};

}  // namespace glyphscope
