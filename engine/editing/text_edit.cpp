#include "editing/text_edit.h"

#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "localization/prompt_set.h"

namespace glyphscope {

namespace {

std::optional<Box> box_of(const std::vector<TextPiece>& pieces) {
  if (pieces.empty()) return {};
  Box out = pieces.front().box;
  for (const auto& piece : pieces) {
    out.left = std::min(out.left, piece.box.left);
    out.top = std::min(out.top, piece.box.top);
    out.right = std::max(out.right, piece.box.right);
    out.bottom = std::max(out.bottom, piece.box.bottom);
  }
  return out;
}

Box within(Box box, int grow, std::int64_t height, std::int64_t width) {
  return {std::max(0, box.left - grow), std::max(0, box.top - grow), std::min(static_cast<int>(width), box.right + grow),
          std::min(static_cast<int>(height), box.bottom + grow)};
}

// Adds what an image scores against the source inside and outside a box.
void score_box(Scores& scores, const torch::Tensor& image, const torch::Tensor& source, const Box& box) {
  const torch::Tensor squares = (image.to(torch::kFloat64) - source.to(torch::kFloat64)).pow(2);
  const auto inside = [&](const torch::Tensor& x) { return x.slice(1, box.top, box.bottom).slice(2, box.left, box.right); };
  const double all = squares.sum().item<double>(), in = inside(squares).sum().item<double>();
  const auto count = static_cast<double>(inside(squares).numel()), rest = static_cast<double>(squares.numel()) - count;
  const auto put = [&](const std::string& where, double sum, double pixels) {
    if (pixels <= 0) return;
    scores["mse" + where] = sum / pixels;
    scores["psnr" + where] = 10 * std::log10(255.0 * 255.0 * pixels / sum);
  };
  put("_inside_box", in, count);
  put("_outside_box", all - in, rest);
  constexpr int kWindow = 11;  // of the SSIM
  if (box.right - box.left >= kWindow && box.bottom - box.top >= kWindow)
    scores["ssim_inside_box"] = structural_similarity(inside(image).contiguous(), inside(source).contiguous());
  scores["ssim_outside_box"] = structural_similarity(black_out(image, {box}), black_out(source, {box}));
}

}  // namespace

torch::Tensor feathered_mask(const Box& box, std::int64_t height, std::int64_t width, double feather) {
  const auto beyond = [](std::int64_t size, int first, int end) {
    const torch::Tensor at = torch::arange(size, torch::kFloat32);
    return torch::maximum(static_cast<double>(first) - at, at - static_cast<double>(end - 1)).clamp_min(0);
  };
  const torch::Tensor distance = torch::hypot(beyond(height, box.top, box.bottom).unsqueeze(1), beyond(width, box.left, box.right).unsqueeze(0));
  return (1 - distance / (feather + 1)).clamp(0, 1);
}

torch::Tensor composite(const torch::Tensor& edited, const torch::Tensor& source, const torch::Tensor& mask) {
  const torch::Tensor old = source.to(torch::kFloat32);
  return (old + mask * (edited.to(torch::kFloat32) - old)).round().to(torch::kUInt8);
}

TextEdit edit_text(Pipeline& pipeline, const EditSettings& settings, TextReader& reader, const ProgressCallback& progress, const CancelToken& cancel) {
  TextEdit out;
  const auto draw = [&](const Request& request, const std::string& what) {
    auto result = pipeline.generate(request, {.progress = [&](const Progress& p) { progress({what, p.done, p.total}); }}, cancel);
    if (!result) throw Failure(result.error());
    for (const auto& note : result->notes)
      if (std::find(out.notes.begin(), out.notes.end(), note) == out.notes.end()) out.notes.push_back(note);
    return std::move(*result);
  };
  Request request = settings.sampling;
  request.prompts = {settings.source, settings.target};
  Row edit{0, settings.seed, PatchPlan(settings.patches), settings.pooled_target ? 1 : 0, {}};
  std::int64_t first = request.steps;
  for (const auto& patch : settings.patches) first = std::min<std::int64_t>(first, patch.from_step);
  if (settings.pooled_target) first = 0;  // which is read at every step
  request.rows = {edit};
  pipeline.validate(request);

  if (settings.picture.defined()) {
    const auto start = std::chrono::steady_clock::now();
    auto path = pipeline.invert({settings.picture, settings.source, settings.refinements}, request, {.progress = progress}, cancel);
    if (!path) throw Failure(path.error());
    out.path = *path;
    out.source = settings.picture;
    out.source_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    out.source_rows = request.steps * (settings.refinements + 1);
    Request again = request;
    again.guidance = 1;
    again.unclipped = true;
    again.rows = {{0, settings.seed, {}, -1, {out.path, 0, {}}}};
    out.reconstruction = draw(again, "reconstructing").images[0];
    again.rows[0].follow.leaves = request.steps;
    out.round_trip = draw(again, "decoding").images[0];
  } else {
    Request own = request;
    own.keep_paths = true;
    own.rows = {{0, settings.seed, {}}};
    const Result drawn = draw(own, "drawing the source");
    if (!drawn.paths[0]) reject("the source image is withheld by the guard", settings.source);
    out.path = drawn.paths[0];
    out.source = drawn.images[0];
    out.source_rows = drawn.denoiser_rows;
    out.source_seconds = drawn.seconds;
  }

  const std::int64_t height = out.source.size(1), width = out.source.size(2);
  const auto pieces = reader.read(out.source);
  out.box = box_of(pieces);
  torch::Tensor mask;
  if (settings.mask || settings.mask_text) {
    if (!settings.mask && !out.box) reject("no text was found in the source to mask", "--mask", "Name a box: LEFT,TOP,RIGHT,BOTTOM");
    out.box = settings.mask ? within(*settings.mask, 0, height, width) : within(*out.box, (out.box->bottom - out.box->top) / 4, height, width);
    if (out.box->left >= out.box->right || out.box->top >= out.box->bottom) reject("the mask lies outside the image", "--mask");
    if (pipeline.info().upscaler) reject("a mask is not possible in a cascade, whose second stage draws every pixel anew", "--mask");
    mask = feathered_mask(*out.box, height, width, settings.feather);
    // A latent's point is free if any of its pixels is.
    const std::int64_t factor = width / out.path->latents[0].size(2);
    edit.follow.mask = torch::max_pool2d(mask.view({1, 1, height, width}), {factor, factor})[0][0];
  }
  edit.follow.path = out.path;
  edit.follow.leaves = first;

  const PromptPair pair{settings.source, settings.target, quoted_text(settings.source), quoted_text(settings.target)};
  const auto add = [&](const std::string& name, const Row& row) {
    request.rows = {row};
    Result drawn = draw(request, name);
    torch::Tensor image = drawn.images[0];
    const bool withheld = !drawn.outcomes.empty() && drawn.outcomes[0] == "withheld";
    if (mask.defined() && &row == &edit && !withheld) image = composite(image, out.source, mask);
    EditedImage one{name, image, measure(image, out.source, pieces, pair, reader), drawn.denoiser_rows, drawn.seconds};
    if (out.box) score_box(one.measured.scores, image, out.source, *out.box);
    out.images.push_back(std::move(one));
    out.requests.push_back(request);
  };
  add("edit", edit);
  add("target prompt", {1, settings.seed, {}, -1, {out.path, 0, {}}});
  PromptToPrompt maps = settings.maps;
  maps.source = 0;
  add("prompt-to-prompt", {1, settings.seed, {}, -1, {out.path, 0, {}}, maps});
  return out;
}

}  // namespace glyphscope
