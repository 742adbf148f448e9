#include "adapt/training_samples.h"

#include <torch/torch.h>

#include <numeric>

#include "core/error.h"
#include "localization/prompt_set.h"
#include "metrics/text_scores.h"

namespace glyphscope {

TrainingSamples::TrainingSamples(Pipeline& pipeline, TextReader& reader, std::vector<std::string> prompts, const Request& sampling, std::uint64_t seed,
                                 const ProgressCallback& progress, const CancelToken& cancel)
    : pipeline_(pipeline), reader_(reader), prompts_(std::move(prompts)), sampling_(sampling), seed_(seed) {
  for (size_t i = 0; i < prompts_.size(); ++i)
    if (quoted_text(prompts_[i]).empty()) plain_.push_back(i);
  base_ = images(plain_, progress, cancel);
}

std::vector<torch::Tensor> TrainingSamples::images(const std::vector<size_t>& chosen, const ProgressCallback& progress, const CancelToken& cancel) {
  if (chosen.empty()) return {};
  Request request = sampling_;
  request.prompts.clear();
  request.rows.clear();
  for (const size_t i : chosen) {
    request.rows.push_back({static_cast<int>(request.prompts.size()), seed_ + i, {}});
    request.prompts.push_back(prompts_[i]);
  }
  const auto drawn = pipeline_.generate(request, {.progress = [&](const Progress& p) { progress({"drawing samples", p.done, p.total}); }}, cancel);
  if (!drawn) throw Failure(drawn.error());
  return drawn->images.unbind();
}

TrainingSamples::Scores TrainingSamples::draw(const ProgressCallback& progress, const CancelToken& cancel) {
  std::vector<size_t> all(prompts_.size());
  std::iota(all.begin(), all.end(), 0);
  Scores out;
  out.images = images(all, progress, cancel);
  double exact = 0, f1 = 0, ssim = 0;
  int written = 0, compared = 0;
  for (size_t i = 0, plain = 0; i < prompts_.size(); ++i) {
    const std::string wanted = quoted_text(prompts_[i]);
    if (!wanted.empty()) {
      const TextScores scores = score_text(joined_text(reader_.read(out.images[i])), wanted);
      exact += scores.exact ? 1 : 0;
      f1 += scores.f1;
      ++written;
      continue;
    }
    const torch::Tensor& base = base_[plain++];
    // The measure's window is 11 pixels wide.
    if (std::min(base.size(1), base.size(2)) < 11) continue;
    ssim += structural_similarity(out.images[i], base);
    ++compared;
  }
  if (written > 0) out.word_accuracy = exact / written, out.ocr_f1 = f1 / written;
  if (compared > 0) out.ssim_to_base = ssim / compared;
  return out;
}

}  // namespace glyphscope
