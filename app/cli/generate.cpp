#include "app/cli/cli.h"
#include "io/files.h"
#include "io/image_file.h"
#include "pipelines/model_needs.h"

namespace glyphscope::cli {

namespace {

struct Drawn {
  Result result;
  nlohmann::ordered_json document;
};

// One image of one prompt, and what makes it again.
Drawn draw(const Context& context, const std::shared_ptr<Pipeline>& pipeline, const std::string& prompt, const Request& options) {
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
    const Request first = options->sampling.request();
    if (!options->upscale.empty()) {  // what is wrong with it, before anything is drawn
      const auto needs = model_needs(options->upscale);
      if (!needs) throw Failure(needs.error());
      for (const auto& line : needs->missing) reject(line, options->upscale);
      if (find_model(options->upscale, {}).pipeline_class() != "IFSuperResolutionPipeline") reject("this model does not enlarge pictures", options->upscale);
    }
    Drawn drawn = draw(context, context.open(options->model), options->prompt, first);
    if (!options->upscale.empty()) {
      write_png(options->out, drawn.result.images[0], drawn.document);  // kept if enlarging it fails
      Request request;
      request.pictures = drawn.result.images;
      request.negative = options->sampling.negative;
      request.noise_level = options->sampling.noise_level;
      Drawn larger = draw(context, context.open(options->upscale, /*with_config=*/false), options->prompt, request);
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
