#pragma once

#include <torch/types.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "patching/taps.h"
#include "patching/word_tokens.h"

namespace glyphscope {

/// Where a picture's points look among its prompt's words while it is drawn: of each site that reads the prompt, the share of the attention that each point
/// pays to a word's tokens, mean over heads. (DAAM, arXiv 2210.04885, adds such maps up over layers and steps.)
struct AttentionRecord {
  // What is asked for.
  std::vector<int> sites;                  ///< None: all.
  std::map<int, std::vector<int>> heads;   ///< Of these sites only some.
  std::int64_t most_numbers = 64'000'000;  ///< Where more would be kept, steps are put together in ranges.

  // What is found.
  struct Site {
    std::int64_t height = 0, width = 0;  ///< Of the maps: the site's own points, at most 64 a side.
    std::vector<torch::Tensor> ranges;   ///< By range of steps: sums, [words, height, width] fp32 on the CPU.
    std::vector<int> calls;              ///< By range: so many calls of the denoiser are in the sum.
    /// [words, height, width]; undefined for a range in which there was no call.
    torch::Tensor mean(size_t range) const;
  };
  std::vector<std::string> words;
  int steps = 0, ranges = 0;
  std::map<int, Site> found;
};

/// Which of a prompt's tokens are a word's, whichever encoders read it: [tokens, words] of zeros and ones.
torch::Tensor tokens_of_words(const std::vector<WordTokens>& encoders, std::int64_t tokens);

/// Records the attention of rows of a batch. Nothing that is drawn changes.
class LookTaps : public Taps {
 public:
  struct Row {
    std::int64_t row = 0;     ///< Of the batch.
    AttentionRecord* record;  ///< Outlives the taps.
    torch::Tensor tokens;     ///< tokens_of_words, on the denoiser's device.
    double aspect = 1;        ///< Height over width of the picture.
    std::int64_t points = 0;  ///< That are the picture's, where others may fill it up behind; 0: all are.
  };
  /// beneath must outlive this.
  LookTaps(Taps& beneath, std::vector<Row> rows) : beneath_(beneath), rows_(std::move(rows)) {}

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
