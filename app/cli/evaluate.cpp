#include "demo/evaluate.h"

#include <cstdio>

#include "app/cli/cli.h"
#include "core/version.h"
#include "experiments/prompt_set.h"
#include "io/files.h"
#include "io/image_file.h"
#include "io/json.h"
#include "io/resources.h"

namespace glyphscope::cli {

Run add_evaluate(CLI::App& app) {
  struct Options {
    std::string model, prompts, out, ocr = "ppocr";
    int count = 200;
    SamplingOptions sampling;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("evaluate", "Measures how well a model writes: OCR and pixel checks over many prompts");
  verb->add_option("MODEL", options->model, kModelHelp)->required();
  verb->add_option("--prompts", options->prompts,
                   "File of prompts, one a line, with the text in double quotes (default: signs with words held out of training)");
  verb->add_option("--count", options->count, "Signs to make where --prompts is absent")->check(CLI::Range(1, 100000))->capture_default_str();
  verb->add_option("--ocr", options->ocr, "ppocr or tesseract")->capture_default_str();
  verb->add_option("--out", options->out, "Folder for evaluate.json and samples.png");
  options->sampling.add(*verb);
  return [=](const Context& context) {
    EvaluateSettings settings;
    settings.count = options->count;
    settings.seed = context.common.seed;
    settings.sampling = to_request(options->sampling.sampling(context.common.seed));
    if (!options->prompts.empty()) settings.prompts = read_prompts(options->prompts, /*with_text=*/true);
    context.read_by(options->ocr);
    context.open(options->model);
    const auto pipeline = context.pipeline();
    const auto reader = context.reader();
    std::vector<std::string> texts;
    for (const auto& prompt : settings.prompts) texts.push_back(quoted_text(prompt));
    context.note_unreadable(*reader, texts);
    std::optional<OutputFolder> folder;
    if (!options->out.empty()) folder.emplace(options->out);
    const Evaluation result = evaluate(
        *pipeline, *reader, settings, [&](const Progress& p) { context.show(p); }, context.cancel);
    context.end_progress();
    nlohmann::ordered_json document{
        {"schema", "glyphscope.evaluate/1"},
        {"versions", {{"glyphscope", version()}, {"libtorch", torch_version()}, {"ocr", reader->name()}}},
        {"model", pipeline->info().source},
        {"model_hash", pipeline->info().hash},
        {"seed", settings.seed},
        {"settings", {{"steps", settings.sampling.steps}, {"guidance", settings.sampling.guidance}, {"scheduler", settings.sampling.scheduler}}}};
    if (const auto enlarging = describe_enlarging(pipeline->resolve(settings.sampling)); !enlarging.is_null()) document["settings"]["enlarges"] = enlarging;
    if (pipeline->info().upscaler) document["upscaler"] = describe_upscaler(pipeline->info());
    if (!pipeline->info().adapters.empty()) document["adapters"] = describe_adapters(pipeline->info());
    if (!pipeline->info().policy.is_null()) document["guard"] = pipeline->info().policy;
    add_keys(document, result.to_json());
    if (folder) {
      write_json(*folder / "evaluate.json", document);
      write_png(*folder / "samples.png", result.sheet, document);
    }
    context.print(document);
    if (context.common.json) return;
    auto line = [](const char* name, const Score& score, const Score* ceiling) {
      std::printf("  %-28s %5.1f %%", name, 100 * score.mean);
      if (score.low) std::printf("  [%.1f, %.1f]", 100 * *score.low, 100 * *score.high);
      if (ceiling && ceiling->n > 0) std::printf("   on true drawings %5.1f %%", 100 * ceiling->mean);
      std::printf("\n");
    };
    std::printf("%d images of %s, read by %s\n", static_cast<int>(result.items.size()), pipeline->info().source.c_str(), reader->name().c_str());
    const SignScores* ceiling = result.has_ceiling ? &result.ceiling : nullptr;
    line("words read exactly", result.model.word_accuracy, ceiling ? &ceiling->word_accuracy : nullptr);
    line("character F1", result.model.ocr_f1, ceiling ? &ceiling->ocr_f1 : nullptr);
    if (ceiling && result.model.attributes_accuracy.n > 0) line("colours and shape right", result.model.attributes_accuracy, &ceiling->attributes_accuracy);
  };
}

}  // namespace glyphscope::cli
