#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/progress.h"
#include "localization/sweep.h"
#include "metrics/image_scores.h"
#include "metrics/ocr.h"
#include "pipelines/pipeline.h"

namespace glyphscope {

/// The text of one image in place of another (section 5.2 of the paper).
struct EditSettings {
  std::string source;              ///< What draws the image; of a real picture, its caption.
  std::string target;              ///< What the sites see in place of it.
  std::vector<SitePatch> patches;  ///< The sites, with heads, streams and steps; each sees prompt 1, the target.
  PromptToPrompt maps;             ///< What Prompt-to-Prompt, beside it, takes of the source.
  bool pooled_target = false;      ///< The denoiser reads the target's pooled prompt, where it reads one.
  Request sampling;                ///< Steps, guidance, scheduler, size, method; no prompts or rows. Resolved.
  std::uint64_t seed = 42;         ///< Of the source's noise, where there is no picture.
  torch::Tensor picture;           ///< A real picture, [3, H, W] uint8 of the sampling's size; undefined: the source prompt's image is drawn.
  int refinements = 0;             ///< Inversion::refinements.
  bool mask_text = false;          ///< Nothing changes outside the box of the source's text, grown by a quarter of its height; as OCR finds it.
  std::optional<Box> mask;         ///< The same with this box.
  double feather = 4;              ///< Pixels about the box within which the new fades into the old.
};

/// One way to draw the new text.
struct EditedImage {
  std::string name;
  torch::Tensor image;   ///< [3, H, W] uint8
  Measurement measured;  ///< Against the source image and both texts; beside a sweep's scores, those inside and outside the box ("ssim_inside_box" ..).
  std::int64_t denoiser_rows = 0;
  double seconds = 0;
};

struct TextEdit {
  torch::Tensor source;                    ///< What is edited: the drawn image, or the real picture.
  std::shared_ptr<const Trajectory> path;  ///< Its way: what an edit can leave at any step.
  std::vector<EditedImage>
      images;                    ///< The edit; beside it the target prompt from the same noise, alone and with the source's attention maps (Prompt-to-Prompt).
  torch::Tensor reconstruction;  ///< Of a real picture: drawn from its inverted noise with its caption, without guidance; else undefined.
  torch::Tensor round_trip;      ///< Of a real picture: what the autoencoder alone makes of it, which no reconstruction can surpass.
  std::optional<Box> box;        ///< Of the source's text, if it has one, or the mask's.
  std::int64_t source_rows = 0;  ///< Through the denoiser, for the source or its inversion.
  double source_seconds = 0;
  std::vector<Request> requests;  ///< What made the images, one each; with one row.
  std::vector<std::string> notes;
};

/// Draws the source, or inverts the picture; then the edit, which goes the source's way until its sites see the target, and so asks the denoiser only from
/// there on where prompts are injected; then what else one would do, from the same noise. Throws a Failure.
TextEdit edit_text(Pipeline& pipeline, const EditSettings& settings, TextReader& reader, const ProgressCallback& progress, const CancelToken& cancel);

/// How much of a pixel is new, [height, width] fp32: 1 in the box, fading to 0 within `feather` pixels about it.
torch::Tensor feathered_mask(const Box& box, std::int64_t height, std::int64_t width, double feather);

/// `edited` where the mask is 1, `source` bit for bit where it is 0. [3, H, W] uint8 each.
torch::Tensor composite(const torch::Tensor& edited, const torch::Tensor& source, const torch::Tensor& mask);

}  // namespace glyphscope
