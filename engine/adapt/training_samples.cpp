#include "adapt/training_samples.h"

#include <torch/types.h>

#include <numeric>

#include "core/error.h"
#include "experiments/prompt_set.h"
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
  auto base = base_.begin();
  for (const torch::Tensor& image : images(all, progress, cancel)) {
    Item item{image, {}, {}, {}, {}};
    const std::string wanted = quoted_text(prompts_[out.items.size()]);
    // The similarity's window is 11 pixels wide.
    if (wanted.empty()) {
      const torch::Tensor& before = *base++;
      if (std::min(before.size(1), before.size(2)) >= 11) item.ssim = structural_similarity(image, before);
    } else {
      item.read = joined_text(reader_.read(image));
      const TextScores scores = score_text(item.read, wanted);
      item.exact = scores.exact ? 1.0 : 0.0;
      item.f1 = scores.f1;
    }
    out.items.push_back(std::move(item));
  }
  return out;
}

std::optional<double> TrainingSamples::Scores::mean(std::optional<double> Item::*number) const {
  double sum = 0;
  int count = 0;
  for (const auto& item : items)
    if (item.*number) sum += *(item.*number), ++count;
  return count > 0 ? std::optional(sum / count) : std::nullopt;
}

std::vector<torch::Tensor> TrainingSamples::Scores::images() const {
  std::vector<torch::Tensor> out;
  for (const auto& item : items) out.push_back(item.image);
  return out;
}

}  // namespace glyphscope
