#include "app/cli/cli.h"
#include "io/files.h"
#include "io/image_file.h"
#include "localization/prompt_set.h"

namespace glyphscope::cli {

Run add_generate(CLI::App& app) {
  struct Options {
    std::string model, prompt, out;
    SamplingOptions sampling;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("generate", "Makes an image from a prompt");
  verb->add_option("MODEL", options->model, kModelHelp)->required();
  verb->add_option("--prompt", options->prompt, "What to draw; (word:1.2) counts for more")->required();
  verb->add_option("--out", options->out, "PNG file to write; its metadata say how to make it again")->required();
  options->sampling.add(*verb);
  return [=](const Context& context) {
    check_output_file(options->out, ".png", {options->sampling.image});
    const Request sampling = options->sampling.request();
    const auto pipeline = context.open(options->model);
    Request request = pipeline->resolve(sampling);
    request.prompts = {options->prompt};
    request.rows = {{0, context.common.seed, {}}};
    context.note_learned(pipeline->info(), {quoted_text(options->prompt)});
    const auto result = pipeline->generate(request, {.progress = [&](const Progress& p) { context.show(p); }}, context.cancel);
    context.end_progress();
    if (!result) throw Failure(result.error());
    for (const auto& note : result->notes) context.say("note: " + note);
    auto document = describe_image(pipeline->info(), request, request.rows[0], outcome_of(*result, 0));
    write_png(options->out, result->images[0], document);
    document["file"] = options->out;
    document["notes"] = result->notes;
    document["seconds"] = {{"mean", result->seconds}};
    context.print(document);
    if (!context.common.json) context.say(options->out);
  };
}

}  // namespace glyphscope::cli
