#include <chrono>
#include <cstdio>

#include "app/cli/cli.h"
#include "demo/sign_words.h"
#include "io/files.h"
#include "io/resources.h"
#include "localization/sweep.h"

namespace glyphscope::cli {

Run add_localize(CLI::App& app) {
  struct Options {
    std::string model, prompts, words, out, ocr = "ppocr", method = "automatic", pooled = "source";
    std::vector<std::string> templates;
    std::vector<std::uint64_t> seeds;
    size_t pairs = 16;
    int noises = 1;
    bool resume = false;
    SweepSettings settings;
    SamplingOptions sampling;
  };
  auto options = std::make_shared<Options>();
  SweepSettings& settings = options->settings;
  CLI::App* verb = app.add_subcommand(
      "localize",
      "Finds the layers that write the text: patches every site alone, reads the images, chooses by half of the words and reports on the other half");
  verb->add_option("MODEL", options->model, kModelHelp)->required();
  auto* file = verb->add_option("--prompts", options->prompts, "File of prompt pairs: A, a tab, B, each with its text in double quotes");
  verb->add_option("--template", options->templates, "Prompt with <text> for the word (repeatable; default: the demo's signs)")->excludes(file);
  verb->add_option("--words", options->words, "File of words, one a line (default: words that the demo models never saw)")->excludes(file);
  verb->add_option("--pairs", options->pairs, "Pairs to make of template and words, two words each")->check(CLI::Range(1, 100000))->capture_default_str();
  auto* seeds = verb->add_option("--seeds", options->seeds, "Seeds of the noises (default: --seed, and --noises of them from there on)")->delimiter(',');
  verb->add_option("--noises", options->noises, "Noises for each pair; with one alone, intervals are over words only")
      ->check(CLI::Range(1, 1000))
      ->excludes(seeds)
      ->capture_default_str();
  verb->add_option("--from-step", settings.from_step, "First step that is patched")->capture_default_str();
  verb->add_option("--pooled", options->pooled, "source or target: whose pooled prompt patched images read, where the model reads one (SDXL, SD 3, FLUX)")
      ->check(CLI::IsMember({"source", "target"}))
      ->capture_default_str();
  verb->add_option("--localized-f1", settings.localized_f1_share, "A site is localized if its target F1 is surely at least this share of B's own")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  verb->add_option("--localized-ssim", settings.localized_ssim, "and its SSIM outside the text at least this")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  verb->add_option("--kept-f1", settings.kept_f1_share, "Share of B's own target F1 that the smallest set found must keep")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  verb->add_option("--random-sets", settings.random_sets,
                   "Random sets, as controls: of as many sites as the smallest set found, none of them chosen, with as nearly as many parameters as there are")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  verb->add_option("--method", options->method, "automatic, injection, recording or lockstep")->capture_default_str();
  verb->add_option("--ocr", options->ocr, "ppocr or tesseract")->capture_default_str();
  verb->add_flag("--keep-images", settings.keep_images, "Write every pair's images too");
  verb->add_flag("--resume", options->resume, "Go on with the run that is in --out");
  verb->add_option("--out", options->out, "Folder for run.json, sites.csv and heatmap.png")->required();
  options->sampling.add(*verb);
  return [=](const Context& context) {
    SweepSettings settings = options->settings;
    if (!options->prompts.empty()) settings.pairs = read_pairs(options->prompts);
    const auto templates = options->templates.empty() ? read_word_list(resource("prompts/signs.txt")) : options->templates;
    const auto words = options->words.empty() ? std::vector<std::string>() : read_word_list(options->words);
    settings.seeds = options->seeds;
    for (int noise = 0; options->seeds.empty() && noise < options->noises; ++noise)
      settings.seeds.push_back(context.common.seed + static_cast<std::uint64_t>(noise));
    settings.sampling = options->sampling.request();
    settings.sampling.method = parse_method(options->method);
    settings.pooled_target = options->pooled == "target";

    LoadingReader loading(options->ocr);  // half a second, in which the model is opened
    const auto pipeline = context.open(options->model);
    if (settings.pairs.empty())
      settings.pairs = make_pairs(templates, words.empty() ? localization_words(sign_data(pipeline->info()), options->pairs) : words, options->pairs);
    settings.sampling = pipeline->resolve(settings.sampling);
    pipeline->validate(pair_request(settings, 0, 0, {}));
    const auto reader = loading.get(context.cancel);
    std::vector<std::string> texts;
    for (const auto& pair : settings.pairs) texts.insert(texts.end(), {pair.source_text, pair.target_text});
    context.note_unreadable(*reader, texts);
    const OutputFolder folder(options->out);
    if (!options->resume && std::filesystem::exists(folder / "settings.json"))
      reject("the folder holds a run already", folder.path().string(), "Pass --resume to go on with it, or choose another --out");
    const auto start = std::chrono::steady_clock::now();
    SweepObserver observer;
    observer.progress = [&](const Progress& p) { context.show(p); };
    const SweepResult result = run_sweep(*pipeline, *reader, settings, folder.path(), observer, context.cancel);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    context.end_progress();
    write_sweep(result, settings, pipeline->info(), reader->name(), seconds, folder.path());
    context.print(sweep_document(result, settings, pipeline->info(), reader->name(), seconds));
    if (context.common.json) return;

    auto line = [](const std::string& name, const std::map<std::string, Score>& scores) {
      auto score = [&](const char* key) {
        const Score& s = scores.at(key);
        char text[64];
        if (s.low)
          std::snprintf(text, sizeof text, "%.2f [%.2f, %.2f]", s.mean, *s.low, *s.high);
        else
          std::snprintf(text, sizeof text, "%.2f", s.mean);
        return std::string(text);
      };
      std::printf("  %-14s  %-19s  %-19s  %-19s\n", name.c_str(), score("target_f1").c_str(), score("source_f1").c_str(), score("ssim_outside_text").c_str());
    };
    std::printf("  %-14s  %-19s  %-19s  %-19s\n", "patched", "reads as B (F1)", "reads as A (F1)", "background (SSIM)");
    line("nothing (A)", result.source);
    line("B's own image", result.target);
    for (const auto& set : result.sites) line("site " + std::to_string(set.sites[0]), set.scores);
    for (const auto& set : result.sets)
      if (!set.scores.empty())
        line(set.kind == "random" ? "random " + format_sites(set.sites) : set.kind == "all" ? "all sites" : "sites " + format_sites(set.sites), set.scores);
    if (result.choosing == result.reporting)
      std::printf("\nwords of %zu pairs: too few to choose by one half and report on the other, so these are the pairs that chose", result.reporting.size());
    else
      std::printf("\nchosen by %zu pairs, reported on %zu others that share no word with them", result.choosing.size(), result.reporting.size());
    std::printf("; intervals are over %d words and %zu noise%s\n", result.word_clusters, settings.seeds.size(), settings.seeds.size() == 1 ? "" : "s");
    std::printf("localized: %s\n", result.localized.empty() ? "no single site" : format_sites(result.localized).c_str());
    if (result.smallest.empty())
      std::printf("smallest set found that keeps %.0f %% of B's F1: none\n", 100 * settings.kept_f1_share);
    else
      std::printf("smallest set found that keeps %.0f %% of B's F1: %s (%.2f %% of the denoiser's parameters)\n", 100 * settings.kept_f1_share,
                  format_sites(result.smallest).c_str(), 100 * pipeline->info().table.share(result.smallest));
    std::printf("%s\n", (folder / "heatmap.png").c_str());
  };
}

}  // namespace glyphscope::cli
