#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/progress.h"
#include "editing/edit_way.h"
#include "metrics/image_scores.h"
#include "metrics/measurement.h"
#include "metrics/ocr.h"
#include "pipelines/pipeline.h"

namespace glyphscope {

/// What is edited: the image that a prompt and a seed draw, or a real picture.
struct EditSettings {
  std::string source;  ///< What draws the image; of a real picture, its caption.
  Request sampling;    ///< Steps, guidance, scheduler, size, method; no prompts or rows. Resolved.
  std::uint64_t seed = 42;
  torch::Tensor picture;  ///< [3, H, W] uint8 of the sampling's size; undefined: the source prompt's image is drawn.
  torch::Tensor given;    ///< The same as it was before it was scaled and cropped.
  int refinements = 0;    ///< Inversion::refinements.
};

/// Makes a real picture what is edited: cropped to the sampling's size or, if it names none, to about the model's own area in the picture's aspect; and if
/// it names no scheduler, by one that goes back. picture: [3, H, W] uint8.
void take_picture(EditSettings& settings, const ModelInfo& model, const torch::Tensor& picture);

/// The image, and all that drawing its variants needs.
struct EditSource {
  EditSettings settings;
  torch::Tensor image;                     ///< [3, H, W] uint8
  std::shared_ptr<const Trajectory> path;  ///< What an edit follows up to any step.
  std::string outcome;                     ///< Result::outcomes of it.
  std::vector<TextPiece> pieces;           ///< The text in it, as OCR finds it.
  torch::Tensor reconstruction;            ///< Of a real picture: drawn from its inverted noise with its caption, without guidance; else undefined, and
                                           ///< where a guard withholds it.
  torch::Tensor drift;                     ///< The same with the sampling's guidance, with which edits are drawn: how far that alone leads away. Undefined
                                           ///< where that is no guidance either.
  torch::Tensor round_trip;                ///< Of a real picture: what the autoencoder alone makes of it, which no reconstruction can surpass.
  std::int64_t denoiser_rows = 0;          ///< For the image or its inversion.
  double seconds = 0;
  std::vector<std::string> notes;
};

/// Draws the image, or inverts the picture and draws it again. Throws a Failure.
EditSource draw_source(Pipeline& pipeline, const EditSettings& settings, TextReader& reader, const ProgressCallback& progress, const CancelToken& cancel);

/// Where an image may change.
struct EditMask {
  Box box;
  double feather = 4;  ///< Pixels about the box within which the new fades into the old.
};

/// All that may change: the box with its feather.
Box changing_box(const EditMask& mask);

/// The box of a source's text, grown by a quarter of its height; none if OCR found no text.
std::optional<Box> text_box(const EditSource& source);

/// One way to write another text into the image.
struct EditVariant {
  EditWay way = EditWay::sites;
  std::string target;              ///< The prompt with the new text.
  std::vector<SitePatch> patches;  ///< Of EditWay::sites (section 5.2 of the paper), with heads, streams and steps; each sees prompt 1, the target.
  bool pooled_target = false;      ///< Of EditWay::sites: the denoiser reads the target's pooled prompt, where it reads one.
  PromptToPrompt maps;             ///< Of EditWay::prompt_to_prompt; its prompts are seen to.
  std::optional<EditMask> mask;    ///< Outside of it no bit changes.
  std::optional<Box> scored;       ///< Scores are given inside and outside of it; none: of what the mask lets change or, without one, of the text's box.
};

struct EditedImage {
  torch::Tensor image;   ///< [3, H, W] uint8
  Measurement measured;  ///< Against the source and both texts; beside a localization's scores, those inside and outside a box, EditVariant::scored
                         ///< ("ssim_inside_box" ..).
  Request request;       ///< What made it, with one row.
  std::string outcome;   ///< Result::outcomes of it.
};

struct EditedImages {
  std::vector<EditedImage> images;  ///< One a variant.
  std::int64_t denoiser_rows = 0;
  double seconds = 0;
  std::vector<std::string> notes;
};

/// Throws a Failure if a patch would never be seen.
void check_from_steps(const std::vector<SitePatch>& patches, std::int64_t steps);

/// Draws variants as one request. One that patches sites follows the source's trajectory until they see the target, and where prompts are injected asks the
/// denoiser only from there on, if those it is drawn with do too; the others start from the source's noise. Throws a Failure.
EditedImages draw_variants(Pipeline& pipeline, const EditSource& source, const std::vector<EditVariant>& variants, TextReader& reader,
                           const ProgressCallback& progress, const CancelToken& cancel);

}  // namespace glyphscope
