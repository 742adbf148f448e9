#include "app/cli/cli.h"
#include "io/files.h"
#include "io/image_file.h"

namespace glyphscope::cli {

namespace {

struct Drawn {
  Result result;
  nlohmann::ordered_json document;
};

// One image of one prompt, and what makes it again.
Drawn draw(const Context& context, const std::string& model, const std::string& prompt, const Request& options) {
  const auto pipeline = context.open(model);
  Request request = pipeline->resolve(options);
  request.prompts = {prompt};
  request.rows = {{0, context.common.seed, {}}};
  auto result = pipeline->generate(request, {.progress = [&](const Progress& p) { context.show(p); }}, context.cancel);
  context.end_progress();
  if (!result) throw Failure(result.error());
  for (const auto& note : result->notes) context.say("note: " + note);
  return {std::move(*result), describe_image(pipeline->info(), request, request.rows[0])};
}

}  // namespace

Run add_generate(CLI::App& app) {
  struct Options {
    std::string model, prompt, out, upscale;
    SamplingOptions sampling;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("generate", "Makes an image from a prompt");
  verb->add_option("MODEL", options->model, "A diffusers folder, a checkpoint (.safetensors), or demo:sign-unet")->required();
  verb->add_option("--prompt", options->prompt, "What to draw; (word:1.2) counts for more")->required();
  verb->add_option("--out", options->out, "PNG file to write; its metadata say how to make it again")->required();
  verb->add_option("--upscale", options->upscale, "A super-resolution model (DeepFloyd IF's stage II) that enlarges the image, with the same prompt and seed")
      ->check(CLI::ExistingDirectory);
  options->sampling.add(*verb);
  return [=](const Context& context) {
    Drawn drawn = draw(context, options->model, options->prompt, options->sampling.request());
    if (!options->upscale.empty()) {
      Request request;
      request.pictures = drawn.result.images;
      request.negative = options->sampling.negative;
      request.noise_level = options->sampling.noise_level;
      Drawn larger = draw(context, options->upscale, options->prompt, request);
      larger.document["enlarged"] = std::move(drawn.document);
      larger.result.seconds += drawn.result.seconds;
      drawn = std::move(larger);
    }
    write_png(options->out, drawn.result.images[0], drawn.document);
    nlohmann::ordered_json printed = drawn.document;
    printed["file"] = options->out;
    printed["notes"] = drawn.result.notes;
    printed["seconds"] = {{"mean", drawn.result.seconds}};
    context.print(printed);
    if (!context.common.json) context.say(options->out);
  };
}

}  // namespace glyphscope::cli
