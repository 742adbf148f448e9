#include "app/cli/cli.h"
#include "app/cli/plan_options.h"
#include "io/files.h"
#include "io/image_file.h"
#include "localization/sweep.h"

namespace glyphscope::cli {

Run add_patch(CLI::App& app) {
  struct Options {
    std::string model, source, target, out, method = "automatic", ocr = "ppocr", pooled = "source";
    PlanOptions plan{"Layers that see prompt B, for example 5,7-9"};
    SamplingOptions sampling;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("patch", "Makes prompt A's image while some layers see prompt B");
  verb->add_option("MODEL", options->model, kModelHelp)->required();
  verb->add_option("--source", options->source, "Prompt A")->required();
  verb->add_option("--target", options->target, "Prompt B")->required();
  options->plan.add(*verb)->required();
  verb->add_option("--method", options->method, "injection of prompt B, recording of its K and V, lockstep with a run of it, or automatic")
      ->capture_default_str();
  verb->add_option("--pooled", options->pooled, "source or target: whose pooled prompt the patched image reads, where the model reads one (SDXL, SD 3, FLUX)")
      ->check(CLI::IsMember({"source", "target"}))
      ->capture_default_str();
  verb->add_option("--ocr", options->ocr, "ppocr or tesseract")->capture_default_str();
  verb->add_option("--out", options->out, "Folder for source.png, target.png, patched.png and patch.json")->required();
  options->sampling.add(*verb);
  return [=](const Context& context) {
    const PatchMethod method = parse_method(options->method);
    const auto pipeline = context.open(options->model);
    const SiteTable& table = pipeline->info().table;
    const PatchPlan plan = options->plan.plan(table);
    Request request = pipeline->resolve(options->sampling.request());
    request.prompts = {options->source, options->target};
    request.method = method;
    request.rows = {{0, context.common.seed, {}}, {1, context.common.seed, {}}, {0, context.common.seed, plan, options->pooled == "target" ? 1 : 0}};
    pipeline->validate(request);
    auto reader = LoadingReader(options->ocr).get(context.cancel);  // a wrong engine is an error now, not after minutes
    context.note_unreadable(*reader, {quoted_text(options->source), quoted_text(options->target)});
    context.note_learned(pipeline->info(), {quoted_text(options->source), quoted_text(options->target)});
    const OutputFolder folder(options->out);
    folder.spare(options->sampling.image, {"source.png", "target.png", "patched.png"});
    auto result = pipeline->generate(request, {.progress = [&](const Progress& p) { context.show(p); }}, context.cancel);
    context.end_progress();
    if (!result) throw Failure(result.error());
    for (const auto& note : result->notes) context.say("note: " + note);

    const PromptPair pair{options->source, options->target, quoted_text(options->source), quoted_text(options->target)};
    for (const auto& [name, text] : {std::pair("--source", &pair.source_text), {"--target", &pair.target_text}})
      if (text->empty()) context.say(std::string("note: ") + name + " has no text in double quotes: nothing is scored against it");
    const auto source_pieces = reader->read(result->images[0]);
    const char* names[] = {"source", "target", "patched"};
    nlohmann::ordered_json document = describe_image(pipeline->info(), request, request.rows[2], outcome_of(*result, 2));
    document["schema"] = "glyphscope.patch/1";
    document["sites"] = sites_of(plan);
    document["share"] = table.share(sites_of(plan));
    document["ocr"] = reader->name();
    nlohmann::ordered_json images;
    for (int i = 0; i < 3; ++i) {
      write_png(folder / (std::string(names[i]) + ".png"), result->images[i],
                describe_image(pipeline->info(), request, request.rows[static_cast<size_t>(i)], outcome_of(*result, static_cast<size_t>(i))));
      Measurement one = measure(result->images[i], i == 0 ? source_pieces : reader->read(result->images[i]), result->images[0], source_pieces, pair);
      leave_out_unscored(one, pair);
      nlohmann::ordered_json scores;
      for (const auto& [name, value] : one.scores)
        scores[name] = {{"mean", std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json(nullptr)}};
      images[names[i]] = {{"read", one.read}, {"scores", scores}};
      if (const std::string outcome = outcome_of(*result, static_cast<size_t>(i)); !outcome.empty()) images[names[i]]["guard"] = outcome;
    }
    document["images"] = images;
    document["seconds"] = {{"mean", result->seconds}};
    write_json(folder / "patch.json", document);
    context.print(document);
    if (context.common.json) return;
    for (const char* name : names) context.say(std::string(name) + ".png reads \"" + images[name]["read"].get<std::string>() + "\"");
    context.say("in " + folder.path().string());
  };
}

}  // namespace glyphscope::cli
