#include <cstdio>

#include "app/cli/cli.h"
#include "app/cli/plan_options.h"

namespace glyphscope::cli {

namespace {

std::optional<PixelBox> parse_box(const std::string& text) {
  if (text.empty() || text == "text") return {};
  PixelBox box;
  char end = 0;
  if (std::sscanf(text.c_str(), "%d,%d,%d,%d%c", &box.left, &box.top, &box.right, &box.bottom, &end) != 4 || box.left >= box.right || box.top >= box.bottom)
    reject("'" + text + "' is no box", "--mask", "Write text, or LEFT,TOP,RIGHT,BOTTOM in pixels, for example 10,40,200,120");
  return box;
}

// What a picture's noise gives back, before anything is edited.
void say_source(const Context& context, const event::EditSourceReady& source) {
  context.end_progress();
  const auto say = [&](const Picture& picture, const std::string& what) {
    if (!picture.rgb) return;
    char scores[64];
    std::snprintf(scores, sizeof scores, "SSIM %.4f, PSNR %.1f dB", picture.scores.at("ssim"), picture.scores.at("psnr"));
    context.say(what + scores);
  };
  say(source.reconstruction, "reconstruction.png, to what the autoencoder alone makes of the picture: ");
  say(source.drift, "drift.png, the same with guidance, as edits are drawn: ");
}

}  // namespace

Run add_edit(CLI::App& app) {
  struct Options {
    std::string model, source, caption, target, mask, out, ocr = "ppocr", pooled = "source";
    PlanOptions plan{"The layers that write the text, for example 5,7-9 (default: those of a demo model's study)"};
    command::EditText command;
    SamplingOptions sampling;
    JudgeOptions judges;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("edit", "Writes another text into an image, drawn or real, while the rest stays");
  verb->add_option("MODEL", options->model, kModelHelp)->required();
  auto* source = verb->add_option("--source", options->source, "Prompt of the image to edit, which is drawn first");
  auto* caption = verb->add_option("--caption", options->caption, "What the real picture that --image names shows, with its text in quotation marks");
  source->excludes(caption);
  verb->add_option("--target", options->target, "The prompt with the new text")->required();
  options->plan.add(*verb);
  verb->add_option("--pooled", options->pooled, "source or target: whose pooled prompt the edit reads, where the model reads one")
      ->check(CLI::IsMember({"source", "target"}))
      ->capture_default_str();
  verb->add_option("--refinements", options->command.refinements, "Of a real picture: how often each step of its inversion is estimated anew")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  auto* mask = verb->add_option(
      "--mask", options->mask, "text, or LEFT,TOP,RIGHT,BOTTOM in pixels of the image as the model draws it: nothing changes outside this box and its feather");
  verb->add_option("--feather", options->command.feather, "Pixels about the box within which the new fades into the old")
      ->needs(mask)
      ->check(CLI::Range(0.0, 4096.0))
      ->capture_default_str();
  verb->add_option("--cross-share", options->command.cross_share,
                   "Of Prompt-to-Prompt, beside it: share of the steps with the source's attention to the prompt")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  verb->add_option("--self-share", options->command.self_share, "The same of the picture's attention to itself")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  verb->add_option("--ocr", options->ocr, "ppocr or tesseract")->capture_default_str();
  verb->add_option("--out", options->out,
                   "Folder for source.png, edit.png, target.png, prompt-to-prompt.png, edit.json; of a real picture, reconstruction.png and, with a mask, "
                   "edit-whole.png too")
      ->required();
  options->judges.add(*verb);
  options->sampling.add(*verb, "The real picture to edit, with --caption (PNG, JPEG, WebP, TIFF, BMP)");
  return [=](const Context& context) {
    const bool real = !options->sampling.image.empty();
    if (real == options->caption.empty()) reject("a real picture needs both --image and --caption", "edit");
    if (real != options->source.empty()) reject("what is to be edited: --source PROMPT, or --image FILE with --caption PROMPT", "edit");
    command::EditText command = options->command;
    command.source = real ? options->caption : options->source;
    command.picture = options->sampling.image;
    command.sampling = options->sampling.sampling(context.common.seed);
    command.sampling.enlarged.clear();
    command.targets = {options->target};
    command.masked = !options->mask.empty();
    command.mask = parse_box(options->mask);
    command.pooled_target = options->pooled == "target";
    command.compared = command.each_alone = true;
    command.folder = options->out;
    command.adapters = context.common.adapters;
    command.judges = options->judges.folders;
    context.read_by(options->ocr);
    const auto model = context.open(options->model);
    command.plan = options->plan.plan(model.table, model.studied);
    context.note_learned(model, {quoted_text(command.source), quoted_text(options->target)});
    event::EditReady ready;
    context.run(command, [&](const event::Any& what) {
      if (const auto* source = std::get_if<event::EditSourceReady>(&what)) say_source(context, *source);
      if (const auto* edited = std::get_if<event::EditReady>(&what)) ready = *edited;
    });
    for (const auto& note : ready.notes) context.note(note);
    context.print(ready.document);
    if (context.common.json) return;
    for (const auto& variant : ready.variants) {
      if (variant.pasted.rgb) context.say("edit-whole.png: the picture as it was given, with what is new inside the mask");
      context.say(std::string(edit_way_name(variant.way)) + " reads \"" + *variant.picture.read + "\", SSIM " +
                  std::to_string(variant.picture.scores.at("ssim")) + ", " + std::to_string(variant.denoiser_rows) + " rows through the denoiser");
    }
    context.say("in " + options->out);
  };
}

}  // namespace glyphscope::cli
