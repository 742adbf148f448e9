#include <cmath>
#include <cstdio>
#include <set>

#include "app/cli/cli.h"
#include "app/cli/plan_options.h"
#include "core/version.h"
#include "demo/studies.h"
#include "editing/paste_back.h"
#include "io/files.h"
#include "io/image_file.h"
#include "io/weights.h"
#include "localization/sweep.h"

namespace glyphscope::cli {

namespace {

nlohmann::ordered_json finite(double value) { return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json(nullptr); }

std::optional<Box> parse_box(const std::string& text) {
  if (text.empty() || text == "text") return {};
  Box box;
  char end = 0;
  if (std::sscanf(text.c_str(), "%d,%d,%d,%d%c", &box.left, &box.top, &box.right, &box.bottom, &end) != 4 || box.left >= box.right || box.top >= box.bottom)
    reject("'" + text + "' is no box", "--mask", "Write text, or LEFT,TOP,RIGHT,BOTTOM in pixels, for example 10,40,200,120");
  return box;
}

// What a picture's noise gives back, before anything is edited: written, and said.
nlohmann::ordered_json tell_inversion(const Context& context, const ModelInfo& info, const EditSource& source, const OutputFolder& folder) {
  const torch::Tensor bytes = source.image.contiguous();
  nlohmann::ordered_json out{{"refinements", source.settings.refinements},
                             {"picture_sha256", sha256_text({static_cast<const char*>(bytes.data_ptr()), bytes.nbytes()})}};
  context.end_progress();
  if (!source.reconstruction.defined()) {
    context.say("note: the guard withholds what the picture's noise gives back: a listed word can be read in it");
    return out;
  }
  const auto compare = [&](const torch::Tensor& image, const torch::Tensor& reference) {
    const ImageScores scores = score_images(image, reference);
    return nlohmann::ordered_json{{"psnr", finite(scores.psnr)}, {"ssim", scores.ssim}};
  };
  out["to_picture"] = compare(source.reconstruction, source.image);
  out["to_round_trip"] = compare(source.reconstruction, source.round_trip);
  out["round_trip_to_picture"] = compare(source.round_trip, source.image);
  Request again = source.settings.sampling;
  again.prompts = {source.settings.source};
  again.guidance = 1;
  Row row{0, source.settings.seed, {}};
  row.follow.path = source.path;
  write_png(folder / "reconstruction.png", source.reconstruction, describe_image(info, again, row));
  char line[160];
  std::snprintf(line, sizeof line, "reconstruction.png: SSIM %.4f, PSNR %.1f dB to what the autoencoder alone makes of the picture",
                out["to_round_trip"]["ssim"].get<double>(), score_images(source.reconstruction, source.round_trip).psnr);
  context.say(line);
  if (source.drift.defined()) {
    out["drift_to_round_trip"] = compare(source.drift, source.round_trip);
    again.guidance = source.settings.sampling.guidance;
    write_png(folder / "drift.png", source.drift, describe_image(info, again, row));
    std::snprintf(line, sizeof line, "drift.png: the same with guidance %g, as edits are drawn: SSIM %.4f, PSNR %.1f dB", again.guidance,
                  out["drift_to_round_trip"]["ssim"].get<double>(), score_images(source.drift, source.round_trip).psnr);
    context.say(line);
  }
  return out;
}

}  // namespace

Run add_edit(CLI::App& app) {
  struct Options {
    std::string model, source, caption, target, mask, out, ocr = "ppocr", pooled = "source";
    PlanOptions plan{"The layers that write the text, for example 5,7-9 (default: those of a demo model's study)"};
    PromptToPrompt maps;
    int refinements = 0;
    double feather = 4;
    SamplingOptions sampling;
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
  verb->add_option("--refinements", options->refinements, "Of a real picture: how often each step of its inversion is estimated anew")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  auto* mask = verb->add_option(
      "--mask", options->mask, "text, or LEFT,TOP,RIGHT,BOTTOM in pixels of the image as the model draws it: nothing changes outside this box and its feather");
  verb->add_option("--feather", options->feather, "Pixels about the box within which the new fades into the old")
      ->needs(mask)
      ->check(CLI::Range(0.0, 4096.0))
      ->capture_default_str();
  verb->add_option("--cross-share", options->maps.cross_share, "Of Prompt-to-Prompt, beside it: share of the steps with the source's attention to the prompt")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  verb->add_option("--self-share", options->maps.self_share, "The same of the picture's attention to itself")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  verb->add_option("--ocr", options->ocr, "ppocr or tesseract")->capture_default_str();
  verb->add_option("--out", options->out,
                   "Folder for source.png, edit.png, target.png, prompt-to-prompt.png, edit.json; of a real picture, reconstruction.png and, with a mask, "
                   "edit-whole.png too")
      ->required();
  options->sampling.add(*verb, "The real picture to edit, with --caption (PNG, JPEG, WebP)");
  return [=](const Context& context) {
    const bool real = !options->sampling.image.empty();
    if (real == options->caption.empty()) reject("a real picture needs both --image and --caption", "edit");
    if (real != options->source.empty()) reject("what is to be edited: --source PROMPT, or --image FILE with --caption PROMPT", "edit");
    const std::optional<Box> given = parse_box(options->mask);
    const auto pipeline = context.open(options->model);
    const ModelInfo& info = pipeline->info();
    const PatchPlan plan = options->plan.plan(info.table, studied_sites(info));
    const std::vector<int> sites = sites_of(plan);
    if (sites.empty()) reject("no sites are known of this model", "--sites", "Name those that write the text; localize finds them");
    Request sampling = options->sampling.request();
    const torch::Tensor picture = sampling.pictures.defined() ? sampling.pictures[0] : torch::Tensor();
    sampling.pictures = torch::Tensor();
    EditSettings settings;
    settings.source = real ? options->caption : options->source;
    settings.seed = context.common.seed;
    settings.sampling = sampling;
    if (real) take_picture(settings, info, picture);
    settings.sampling = pipeline->resolve(settings.sampling);
    settings.refinements = options->refinements;
    // What cannot be done is said before anything is drawn.
    if (given && (given->left < 0 || given->top < 0 || given->right > settings.sampling.width || given->bottom > settings.sampling.height))
      reject("the box " + options->mask + " reaches outside the image, which the model draws " + std::to_string(settings.sampling.width) + " x " +
                 std::to_string(settings.sampling.height),
             "--mask");
    check_from_steps(plan.patches(), settings.sampling.steps);
    const auto reader = LoadingReader(options->ocr).get(context.cancel);
    context.note_unreadable(*reader, {quoted_text(settings.source), quoted_text(options->target)});
    context.note_learned(info, {quoted_text(settings.source), quoted_text(options->target)});
    const OutputFolder folder(options->out);
    folder.spare(options->sampling.image,
                 {"source.png", "edit.png", "target.png", "prompt-to-prompt.png", "reconstruction.png", "drift.png", "edit-whole.png"});
    const auto progress = [&](const Progress& p) { context.show(p); };
    const EditSource source = draw_source(*pipeline, settings, *reader, progress, context.cancel);
    nlohmann::ordered_json inversion;
    if (real) inversion = tell_inversion(context, info, source, folder);

    EditVariant edit{EditVariant::Way::sites, options->target, plan.patches(), options->pooled == "target", {}, {}};
    const std::optional<Box> box = options->mask == "text" ? text_box(source) : given;
    if (options->mask == "text" && !box) reject("no text was found in the source to mask", "--mask", "Name a box: LEFT,TOP,RIGHT,BOTTOM");
    std::optional<Box> scored;
    if (box) {
      edit.mask = {*box, options->feather};
      scored = changing_box(*edit.mask);
    }
    struct Way {
      const char *name, *file;
      EditVariant variant;
    };
    const Way ways[] = {
        {"edit", "edit.png", edit},
        {"target prompt", "target.png", {EditVariant::Way::target_prompt, options->target, {}, false, {}, {}, scored}},
        {"prompt-to-prompt", "prompt-to-prompt.png", {EditVariant::Way::prompt_to_prompt, options->target, {}, false, options->maps, {}, scored}}};
    // Each alone, so that its cost is its own.
    nlohmann::ordered_json images;
    std::vector<std::string> notes = source.notes, lines;
    Request made;
    for (const auto& [name, file, variant] : ways) {
      const EditedImages drawn = draw_variants(*pipeline, source, {variant}, *reader, progress, context.cancel);
      const EditedImage& one = drawn.images[0];
      if (made.rows.empty()) made = one.request;
      write_png(folder / file, one.image, describe_image(info, one.request, one.request.rows[0], one.outcome));
      nlohmann::ordered_json scores;
      for (const auto& [score, value] : one.measured.scores) scores[score] = finite(value);
      images[name] = {{"file", file}, {"read", one.measured.read}, {"scores", scores}, {"denoiser_rows", drawn.denoiser_rows}, {"seconds", drawn.seconds}};
      if (!one.outcome.empty()) images[name]["guard"] = one.outcome;
      if (real && variant.mask && one.outcome != "withheld") {
        const torch::Tensor whole = paste_back(one.image, *variant.mask, settings.given);
        if (pipeline->allows(whole)) {
          write_png(folder / "edit-whole.png", whole, describe_image(info, one.request, one.request.rows[0], one.outcome));
          images[name]["whole"] = "edit-whole.png";
          lines.emplace_back("edit-whole.png: the picture as it was given, with what is new inside the mask");
        } else {
          notes.emplace_back("the guard withholds edit-whole.png: a listed word can be read in the whole picture");
        }
      }
      notes.insert(notes.end(), drawn.notes.begin(), drawn.notes.end());
      lines.push_back(std::string(name) + " reads \"" + one.measured.read + "\", SSIM " + std::to_string(one.measured.scores.at("ssim")) + ", " +
                      std::to_string(drawn.denoiser_rows) + " rows through the denoiser");
    }
    context.end_progress();
    std::set<std::string> told;
    for (const auto& note : notes)
      if (told.insert(note).second) context.say("note: " + note);

    nlohmann::ordered_json document{{"schema", "glyphscope.edit/1"},
                                    {"versions", {{"glyphscope", version()}, {"libtorch", torch_version()}, {"ocr", reader->name()}}},
                                    {"sites", sites},
                                    {"share", info.table.share(sites)},
                                    {"request", describe_image(info, made, made.rows[0])}};
    document["source"] = {{"denoiser_rows", source.denoiser_rows}, {"seconds", source.seconds}};
    if (box) document["mask"] = {{"box", {box->left, box->top, box->right, box->bottom}}, {"feather", options->feather}};
    if (real) document["inversion"] = inversion;
    write_png(folder / "source.png", source.image,
              real ? nlohmann::ordered_json(nullptr) : describe_image(info, made, Row{0, settings.seed, {}}, source.outcome));
    // Of an earlier edit, whose other files are written over by now.
    if (!source.reconstruction.defined()) std::filesystem::remove(folder / "reconstruction.png");
    if (!source.drift.defined()) std::filesystem::remove(folder / "drift.png");
    if (!images["edit"].contains("whole")) std::filesystem::remove(folder / "edit-whole.png");
    document["images"] = images;
    write_json(folder / "edit.json", document);
    context.print(document);
    if (context.common.json) return;
    for (const auto& line : lines) context.say(line);
    context.say("in " + folder.path().string());
  };
}

}  // namespace glyphscope::cli
