#include "editing/text_edit.h"

#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "adapt/picture_set.h"
#include "core/option.h"
#include "experiments/prompt_set.h"
#include "schedulers/scheduler.h"

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

Result draw(Pipeline& pipeline, const Request& request, const std::string& what, std::vector<std::string>& notes, const ProgressCallback& progress,
            const CancelToken& cancel) {
  auto result = pipeline.generate(request, {.progress = [&](const Progress& p) { progress({what, p.done, p.total}); }}, cancel);
  if (!result) throw Failure(result.error());
  for (const auto& note : result->notes)
    if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
  return std::move(*result);
}

}  // namespace

Box changing_box(const EditMask& mask) {
  const int feather = static_cast<int>(std::ceil(mask.feather));
  return {mask.box.left - feather, mask.box.top - feather, mask.box.right + feather, mask.box.bottom + feather};
}

void take_picture(EditSettings& settings, const ModelInfo& model, const torch::Tensor& picture) {
  Request& request = settings.sampling;
  if (request.width <= 0) {
    const double area = static_cast<double>(model.default_width * model.default_height);
    const double aspect = static_cast<double>(picture.size(2)) / static_cast<double>(picture.size(1));
    const auto side = [&](double pixels) {
      const auto multiple = static_cast<double>(model.size_multiple);
      return static_cast<std::int64_t>(std::max(1.0, std::round(pixels / multiple)) * multiple);
    };
    request.width = side(std::sqrt(area * aspect));
    request.height = side(std::sqrt(area / aspect));
  }
  settings.given = picture;
  const bool fits = picture.size(1) == request.height && picture.size(2) == request.width;
  settings.picture = fits ? picture : crop_to(picture, {request.width, request.height});
  if (request.scheduler.empty()) request.scheduler = model.reversible_scheduler;
}

EditSource draw_source(Pipeline& pipeline, const EditSettings& settings, TextReader& reader, const ProgressCallback& progress, const CancelToken& cancel) {
  EditSource out;
  out.settings = settings;
  Request request = settings.sampling;
  request.prompts = {settings.source};
  request.rows = {{0, settings.seed, {}}};
  pipeline.validate(request);
  if (settings.picture.defined()) {
    const auto start = std::chrono::steady_clock::now();
    auto path = pipeline.invert({settings.picture, settings.source, settings.refinements}, request, {.progress = progress}, cancel);
    if (!path) throw Failure(path.error());
    out.path = *path;
    out.image = settings.picture;
    out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    out.denoiser_rows = request.steps * (settings.refinements + 1);
    request.guidance = pipeline.info().no_guidance;
    request.unclipped = true;  // as the inversion was; what is written later is guided, and clipped as all that is drawn with guidance
    request.rows[0].follow.path = out.path;
    const Result again = draw(pipeline, request, "reconstructing", out.notes, progress, cancel);
    request.rows[0].follow.until_step = request.steps;
    const Result decoded = draw(pipeline, request, "decoding", out.notes, progress, cancel);
    if (outcome_of(again, 0) != kWithheld && outcome_of(decoded, 0) != kWithheld) {
      out.reconstruction = again.images[0];
      out.round_trip = decoded.images[0];
      if (pipeline.info().guidance_factor(settings.sampling.guidance) > 1) {
        request.guidance = settings.sampling.guidance;
        request.rows[0].follow.until_step = 0;
        const Result guided = draw(pipeline, request, "reconstructing with guidance", out.notes, progress, cancel);
        if (outcome_of(guided, 0) != kWithheld) out.drift = guided.images[0];
      }
    }
  } else {
    request.keep_paths = true;
    const Result drawn = draw(pipeline, request, "drawing the source", out.notes, progress, cancel);
    if (!drawn.paths[0]) reject("the source image is withheld by the guard", settings.source);
    out.path = drawn.paths[0];
    out.image = drawn.images[0];
    out.outcome = outcome_of(drawn, 0);
    out.denoiser_rows = drawn.denoiser_rows;
    out.seconds = drawn.seconds;
  }
  out.pieces = reader.read(out.image);
  return out;
}

void check_from_steps(const std::vector<SitePatch>& patches, std::int64_t steps) {
  for (const auto& patch : patches)
    if (patch.from_step >= steps)
      reject("the target is seen from step " + std::to_string(patch.from_step) + " on, and there are " + std::to_string(steps), option(Option::from_step),
             "Steps count from 0");
}

std::optional<Box> text_box(const EditSource& source) {
  const auto box = box_of(source.pieces);
  if (!box) return {};
  return within(*box, (box->bottom - box->top) / 4, source.image.size(1), source.image.size(2));
}

EditedImages draw_variants(Pipeline& pipeline, const EditSource& source, const std::vector<EditVariant>& variants, TextReader& reader,
                           const ProgressCallback& progress, const CancelToken& cancel) {
  const std::int64_t height = source.image.size(1), width = source.image.size(2);
  Request request = source.settings.sampling;
  request.prompts = {source.settings.source};
  for (const auto& variant : variants) {
    const auto target = static_cast<int>(request.prompts.size());
    check_from_steps(variant.patches, request.steps);
    request.prompts.push_back(variant.target);
    Row row{variant.way == EditWay::sites ? 0 : target, source.settings.seed, {}, -1, {source.path, 0, {}}, {}, {}};
    if (variant.way == EditWay::prompt_to_prompt) {
      row.maps = variant.maps;
      row.maps->source = 0;
    }
    if (variant.way == EditWay::sites) {
      std::vector<SitePatch> patches = variant.patches;
      std::int64_t first = request.steps;
      for (auto& patch : patches) {
        patch.prompt = target;
        first = std::min<std::int64_t>(first, patch.from_step);
      }
      row.plan = PatchPlan(std::move(patches));
      if (variant.pooled_target) row.pooled = target;
      row.follow.until_step = variant.pooled_target ? 0 : first;  // the pooled prompt is read at every step
    }
    if (variant.mask) {
      const Box box = within(variant.mask->box, 0, height, width);
      row.kept = KeptOutside{source.image, box, variant.mask->feather};
      // A latent's point is free if any of its pixels is.
      const std::int64_t factor = width / source.path->latents[0].size(2);
      row.follow.mask = torch::max_pool2d(feathered_mask(box, height, width, variant.mask->feather).view({1, 1, height, width}), {factor, factor})[0][0];
    }
    request.rows.push_back(std::move(row));
  }

  EditedImages out;
  const Result drawn = draw(pipeline, request, "writing the new text", out.notes, progress, cancel);
  out.denoiser_rows = drawn.denoiser_rows;
  out.seconds = drawn.seconds;
  for (size_t i = 0; i < variants.size(); ++i) {
    const EditVariant& variant = variants[i];
    const torch::Tensor image = drawn.images[static_cast<std::int64_t>(i)];
    EditedImage one{image, measure(image, reader.read(image), source.image, source.pieces, quoted_text(source.settings.source), quoted_text(variant.target)),
                    request, outcome_of(drawn, i)};
    one.request.rows = {request.rows[i]};
    const auto chosen = variant.scored ? variant.scored : variant.mask ? std::optional(changing_box(*variant.mask)) : std::nullopt;
    const auto box = chosen ? std::optional(within(*chosen, 0, height, width)) : box_of(source.pieces);
    if (box) score_box(one.measured.scores, image, source.image, *box);
    out.images.push_back(std::move(one));
  }
  return out;
}

}  // namespace glyphscope
