#include "adapt/arena.h"

#include <cstdio>

#include "app/cli/cli.h"
#include "app/cli/finetune_options.h"
#include "core/version.h"
#include "demo/sign_words.h"
#include "experiments/prompt_set.h"
#include "io/files.h"
#include "io/json.h"
#include "io/resources.h"

namespace glyphscope::cli {

Run add_arena(CLI::App& app) {
  struct Options {
    std::string model, sites, prompts, clip, out, ocr = "ppocr";
    bool resume = false;
    FinetuneOptions training;
    ArenaSettings settings;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("arena", "Trains adapters on the localized layers, on random ones and on all, alike, and compares what they do");
  verb->add_option("MODEL", options->model, kModelHelp)->required();
  verb->add_option("--sites", options->sites, "The localized layers, for example 5,7-9")->required();
  options->training.add(*verb);
  verb->add_option("--random-sets", options->settings.random_sets, "Random sets, each of as many sites as --sites, of the others")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  verb->add_option("--seeds", options->settings.seeds, "Trainings of each contender; intervals of what is measured once a training need five")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  verb->add_option("--prompts", options->prompts,
                   "File of prompts, one a line: those with text in double quotes show how well it is written, those without what it costs (default: some "
                   "of each)");
  verb->add_option("--variety", options->settings.variety, "Pictures of each prompt without text")->check(CLI::Range(1, 64))->capture_default_str();
  verb->add_option("--clip-model", options->clip,
                   "Folder of a CLIP (transformers' CLIPModel): how well pictures go with their prompts; and quality and diversity by its features, in place "
                   "of the model's own. A CLIPVisionModelWithProjection gives the features alone");
  verb->add_option("--ocr", options->ocr, "ppocr or tesseract")->capture_default_str();
  verb->add_flag("--resume", options->resume, "Go on with the arena that is in --out");
  verb->add_option("--out", options->out, "Folder for arena.json, arena.csv, arena.png and all adapters")->required();
  return [=](const Context& context) {
    ArenaSettings settings = options->settings;
    settings.training = options->training.settings(context);
    context.read_by(options->ocr);
    options->training.read_pictures(context, settings.training);
    const PictureSet& pictures = context.pictures();
    context.open(options->model);
    const auto pipeline = context.pipeline();
    settings.training.plan.sites = parse_sites(options->sites, pipeline->info().table);
    settings.prompts = sample_prompts(pipeline->info(), options->prompts);
    if (!options->clip.empty()) settings.clip = std::make_shared<const ClipScorer>(options->clip);
    const auto reader = context.reader();
    std::vector<std::string> texts;
    for (const auto& prompt : settings.prompts) texts.push_back(quoted_text(prompt));
    context.note_unreadable(*reader, texts);
    const OutputFolder folder(options->out);
    ArenaObserver observer;
    observer.progress = [&](const Progress& p) { context.show(p); };
    observer.note = [&](const std::string& note) { context.say("note: " + note); };
    const ArenaResult result = run_arena(*pipeline, pictures, settings, folder.path(), options->resume, *reader, observer, context.cancel);
    context.end_progress();
    nlohmann::ordered_json document{
        {"schema", "glyphscope.arena/1"},    {"versions", {{"glyphscope", version()}, {"libtorch", torch_version()}, {"ocr", reader->name()}}},
        {"model", pipeline->info().source},  {"model_hash", pipeline->info().hash},
        {"pictures", pictures.train.size()}, {"settings", settings.to_json()}};
    add_keys(document, result.to_json());
    write_json(folder / "arena.json", document);
    write_text(folder / "arena.csv", result.csv());
    write_figure(result.figure(), {}, folder / "arena.png", {{"model", pipeline->info().source}, {"settings", settings.to_json()}});
    context.print(document);
    if (context.common.json) return;
    std::printf("%s\nprecision, recall and distance: in %s; 95 %% intervals over prompts and trainings\n%s\n", result.table().c_str(), result.features.c_str(),
                (folder / "arena.png").c_str());
  };
}

}  // namespace glyphscope::cli
