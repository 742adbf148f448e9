#include <cstdio>

#include "adapt/adapters.h"
#include "adapt/autopsy.h"
#include "app/cli/cli.h"
#include "core/version.h"
#include "demo/sign_words.h"
#include "io/files.h"
#include "io/json.h"

namespace glyphscope::cli {

Run add_autopsy(CLI::App& app) {
  struct Options {
    std::string model, adapter, prompts, format, out, ocr = "ppocr";
    AutopsySettings settings;
    bool resume = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("autopsy", "Finds which parts of an adapter change the text, and writes the adapter without the others");
  verb->add_option("MODEL", options->model, kModelHelp)->required();
  verb->add_option("ADAPTER", options->adapter, "An adapter of it (.safetensors, or PEFT's folder)")->required();
  verb->add_option("--strength", options->settings.strength, "Of the adapter")->check(CLI::Range(-100.0, 100.0))->capture_default_str();
  verb->add_option("--prompts", options->prompts,
                   "File of prompts, one a line: those with text in double quotes show how it is written, those without what else the adapter does (default: "
                   "some of each)");
  verb->add_option("--noises", options->settings.noises, "Pictures of each prompt")->check(CLI::Range(1, 1000))->capture_default_str();
  verb->add_option("--steps", options->settings.steps, "Denoising steps (default: the model's)")->check(CLI::Range(1, 1000));
  verb->add_option("--guidance", options->settings.guidance, "Guidance (default: the model's)")->check(CLI::Range(0.0, 100.0));
  verb->add_option("--kept-share", options->settings.kept_share, "Share of the adapter's change of F1 that the pruned one keeps")
      ->check(CLI::Range(0.01, 1.0))
      ->capture_default_str();
  verb->add_option("--discoveries", options->settings.discoveries, "Share of the parts said to change the text that may be false")
      ->check(CLI::Range(0.0001, 0.5))
      ->capture_default_str();
  verb->add_option("--format", options->format, "Of the pruned adapter: diffusers, kohya or lycoris (default: diffusers, or lycoris if that cannot hold it)");
  verb->add_option("--ocr", options->ocr, "ppocr or tesseract")->capture_default_str();
  verb->add_flag("--resume", options->resume, "Go on with the autopsy that is in --out");
  verb->add_option("--out", options->out, "Folder for autopsy.json, autopsy.csv, autopsy.png, pruned.safetensors and the pictures")->required();
  return [=](const Context& context) {
    if (!context.common.adapters.empty()) reject("the adapter is named after the model", "--adapter");
    if (!options->format.empty()) parse_lora_format(options->format);
    AutopsySettings settings = options->settings;
    settings.seed = context.common.seed;
    context.read_by(options->ocr);
    context.open(options->model);
    const auto pipeline = context.pipeline();
    settings.prompts = sample_prompts(pipeline->info(), options->prompts);

    AdapterTarget target = adapter_target(*pipeline, options->adapter);
    std::vector<std::string> notes;
    const Adapter adapter = read_adapter(options->adapter, target, notes);
    for (const auto& note : notes) context.note(note);
    // Before the hours, not after.
    const LoraFormat format = options->format.empty() ? fitting_format(adapter, target) : parse_lora_format(options->format);
    check_format(adapter, format, target);

    const auto reader = context.reader();
    std::vector<std::string> texts;
    for (const auto& prompt : settings.prompts) texts.push_back(quoted_text(prompt));
    context.note_unreadable(*reader, texts);
    const OutputFolder folder(options->out);
    folder.spare(adapter_file(options->adapter), {"pruned.safetensors"});
    AutopsyObserver observer;
    observer.progress = [&](const Progress& p) { context.show(p); };
    observer.note = [&](const std::string& note) { context.say("note: " + note); };
    const std::string hash = adapter_hash(options->adapter);
    const AutopsyResult result = run_autopsy(*pipeline, adapter, hash, settings, folder.path(), options->resume, *reader, observer, context.cancel);
    context.end_progress();
    nlohmann::ordered_json document{
        {"schema", "glyphscope.autopsy/1"}, {"versions", {{"glyphscope", version()}, {"libtorch", torch_version()}, {"ocr", reader->name()}}},
        {"model", pipeline->info().source}, {"model_hash", pipeline->info().hash},
        {"adapter", options->adapter},      {"adapter_sha256", hash},
        {"settings", settings.to_json()}};
    add_keys(document, result.to_json());
    const bool pruned = result.pruned_f1.n > 0;
    if (pruned) {
      Adapter kept = with_parts(adapter, pipeline->info().table, result.kept);
      kept.denoiser.metadata["pruned_from"] = hash;
      write_adapter(folder / "pruned.safetensors", kept, format, target);
    }
    write_json(folder / "autopsy.json", document);
    write_text(folder / "autopsy.csv", result.csv());
    write_figure(result.figure(), {}, folder / "autopsy.png",
                 {{"model", pipeline->info().source}, {"adapter", options->adapter}, {"settings", settings.to_json()}});
    context.print(document);
    if (context.common.json) return;
    std::printf("%s%s\n", result.table().c_str(), (folder / (pruned ? "pruned.safetensors" : "autopsy.json")).c_str());
  };
}

}  // namespace glyphscope::cli
