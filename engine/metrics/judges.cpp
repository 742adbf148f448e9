#include "metrics/judges.h"

#include <torch/autograd.h>
#include <torch/types.h>

#include <algorithm>
#include <optional>

#include "io/resources.h"
#include "metrics/clip_scorer.h"
#include "metrics/ctc_reader.h"
#include "metrics/lpips.h"
#include "metrics/vision_transformer.h"

namespace glyphscope {

namespace {

double cosine(const torch::Tensor& a, const torch::Tensor& b) {
  return std::clamp(torch::cosine_similarity(a.view({1, -1}), b.view({1, -1})).item<double>(), -1.0, 1.0);
}

}  // namespace

struct Judges::Parts {
  std::optional<ClipScorer> clip;
  std::optional<VisionTransformer> dino;
  std::optional<Lpips> lpips;
  std::optional<CtcReader> reader;
  // What was computed last of a source and of a prompt: many pictures are compared with one.
  struct {
    torch::Tensor image, clip, dino;
    std::vector<torch::Tensor> lpips;
  } source;
  std::string prompt;
  torch::Tensor text;

  torch::Tensor clip_features(const torch::Tensor& image) const { return clip->image_features(clip->prepare(image).unsqueeze(0)); }
  torch::Tensor dino_features(const torch::Tensor& image) const { return dino->features(dino->prepare(image).unsqueeze(0)); }

  // What the reader says of B's text, less of A's, by a letter of the longer one; undefined where it does not know a letter, or the texts are one. Its
  // gradients reach the picture.
  torch::Tensor margin(const JudgedPicture& picture) const {
    const auto a = CtcReader::labels(picture.source_text), b = CtcReader::labels(picture.target_text);
    if (!a || !b || *a == *b) return {};
    const size_t longer = std::max(a->size(), b->size());
    const Box box = box_about(picture.boxes, picture.image.size(1), picture.image.size(2));
    torch::Tensor line = CtcReader::line(picture.image, box);
    // With room for a blank beside each letter.
    const auto room = static_cast<std::int64_t>(4 * (2 * longer + 1));
    if (line.size(3) < room) line = CtcReader::line(picture.image, box, room);
    const torch::Tensor columns = reader->log_probabilities(line);
    return (CtcReader::log_likelihood_of(columns, *b) - CtcReader::log_likelihood_of(columns, *a)) / static_cast<double>(longer);
  }

  void look_at(const torch::Tensor& image) {
    if (source.image.defined() && torch::equal(source.image, image)) return;
    source = {image.clone(), {}, {}, {}};
    if (clip) source.clip = clip_features(image);
    if (dino) source.dino = dino_features(image);
    if (lpips) source.lpips = lpips->features(image);
  }
};

Judges::~Judges() = default;

Judges::Judges(const JudgeFolders& folders, torch::Device device) : parts_(std::make_unique<Parts>()) {
  if (!folders.clip.empty()) parts_->clip.emplace(folders.clip, device);
  if (!folders.dino.empty()) parts_->dino.emplace(folders.dino, device);
  if (!folders.lpips.empty()) parts_->lpips.emplace(folders.lpips, device);
  if (folders.reader) parts_->reader.emplace(resource("models/reader"));  // so small that the host's processor is as fast
}

nlohmann::ordered_json Judges::describe() const {
  nlohmann::ordered_json out;
  if (parts_->clip) out["clip"] = parts_->clip->hash();
  if (parts_->dino) out["dino"] = parts_->dino->hash();
  if (parts_->lpips) out["lpips"] = parts_->lpips->hash();
  if (parts_->reader) out["reader"] = parts_->reader->hash();
  return out;
}

torch::Tensor Judges::towards_text(const JudgedPicture& target) const {
  if (!parts_->reader) return {};
  const torch::AutoGradMode gradient(true);
  const torch::Tensor from = target.source.to(torch::kFloat32), change = target.image.to(torch::kFloat32) - from;
  constexpr int kPoints = 5;  // of the way, as a score of letters is far from straight
  torch::Tensor sum;
  for (int i = 0; i < kPoints; ++i) {
    const torch::Tensor between = (from + change * ((i + 0.5) / kPoints)).requires_grad_();
    JudgedPicture picture{between, target.source, {}, target.source_text, target.target_text, target.boxes};
    const torch::Tensor margin = parts_->margin(picture);
    if (!margin.defined()) return {};
    const torch::Tensor found = torch::autograd::grad({margin}, {between}).front() / kPoints;
    sum = sum.defined() ? sum + found : found;
  }
  return sum.isfinite().all().item<bool>() ? sum : torch::Tensor();
}

void Judges::score(const JudgedPicture& picture, Scores& scores) {
  const torch::Tensor& image = picture.image;
  if (parts_->reader) {
    const torch::NoGradGuard no_grad;
    if (const torch::Tensor margin = parts_->margin(picture); margin.defined()) scores["reader_margin"] = margin.item<double>();
  }
  if (!parts_->clip && !parts_->dino && !parts_->lpips) return;
  parts_->look_at(picture.source);
  if (const auto& clip = parts_->clip) {
    const torch::Tensor features = parts_->clip_features(image);
    scores["clip_i"] = cosine(features, parts_->source.clip);
    if (clip->reads_text() && !picture.target_prompt.empty()) {
      if (!parts_->text.defined() || parts_->prompt != picture.target_prompt) {
        parts_->text = clip->text_features(picture.target_prompt);
        parts_->prompt = picture.target_prompt;
      }
      scores["clip_t_cosine"] = cosine(features, parts_->text);
      // CLIPScore, arXiv 2104.08718.
      scores["clip_t"] = 2.5 * std::max(scores["clip_t_cosine"], 0.0);
    }
  }
  if (parts_->dino) scores["dino_distance"] = 1 - cosine(parts_->dino_features(image), parts_->source.dino);
  if (const auto& lpips = parts_->lpips) scores["lpips"] = lpips->distance(lpips->features(image), parts_->source.lpips);
}

}  // namespace glyphscope
