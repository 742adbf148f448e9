#include <cstdio>

#include "app/cli/cli.h"
#include "io/files.h"
#include "io/resources.h"
#include "registry/families.h"

namespace glyphscope::cli {

namespace {

std::string score_text(const std::map<std::string, Score>& scores, const char* key) {
  const Score& score = scores.at(key);
  char text[64];
  if (score.low)
    std::snprintf(text, sizeof text, "%.2f [%.2f, %.2f]", score.mean, *score.low, *score.high);
  else
    std::snprintf(text, sizeof text, "%.2f", score.mean);
  return text;
}

std::string set_name(const event::ScoresReady::Set& set) {
  if (set.kind == SetKind::random) return "random " + format_sites(set.sites);
  return set.kind == SetKind::all ? "all sites" : "sites " + format_sites(set.sites);
}

void print_findings(const event::ScoresReady& found, const SiteTable& table) {
  constexpr const char* kColumns[] = {"target_f1", "source_f1", "ssim_outside_text"};
  const auto line = [&](const std::string& name, const std::map<std::string, Score>& scores) {
    std::printf("  %-14s", name.c_str());
    for (const char* key : kColumns) std::printf("  %-19s", score_text(scores, key).c_str());
    std::printf("\n");
  };
  std::printf("  %-14s", "patched");
  for (const char* key : kColumns) std::printf("  %-19s", find_score(key)->title);
  std::printf("\n");
  line("nothing (A)", found.source);
  line("B's own image", found.target);
  for (size_t site = 0; site < table.sites.size(); ++site) {
    std::map<std::string, Score> scores;
    for (const auto& [key, list] : found.sites) scores[key] = list[site];
    line("site " + std::to_string(site), scores);
  }
  for (const auto& set : found.sets) line(set_name(set), set.scores);
  if (found.halved)
    std::printf("\nchosen by %d pairs, reported on %d others that share no word with them", found.choosing_pairs, found.pairs);
  else
    std::printf("\nwords of %d pairs: too few to choose by one half and report on the other, so these are the pairs that chose", found.pairs);
  std::printf("; intervals are over %d words and %d noise%s\n", found.word_clusters, found.noises, found.noises == 1 ? "" : "s");
  std::printf("localized: %s\n", found.localized.empty() ? "no single site" : format_sites(found.localized).c_str());
  if (found.smallest.empty())
    std::printf("smallest set found that keeps %.0f %% of B's F1: none\n", 100 * found.kept_f1_share);
  else
    std::printf("smallest set found that keeps %.0f %% of B's F1: %s (%.2f %% of the denoiser's parameters)\n", 100 * found.kept_f1_share,
                format_sites(found.smallest).c_str(), 100 * table.share(found.smallest));
}

}  // namespace

Run add_localize(CLI::App& app) {
  struct Options {
    std::string model, prompts, words, out, ocr = "ppocr", method = "automatic", pooled = "source";
    bool resume = false;
    command::Localize command;
    SamplingOptions sampling;
  };
  auto options = std::make_shared<Options>();
  command::Localize& settings = options->command;
  CLI::App* verb = app.add_subcommand(
      "localize",
      "Finds the layers that write the text: patches every site alone, reads the images, chooses by half of the words and reports on the other half");
  verb->add_option("MODEL", options->model, kModelHelp)->required();
  auto* file = verb->add_option("--prompts", options->prompts, "File of prompt pairs: A, a tab, B, each with its text in double quotes");
  verb->add_option("--template", settings.templates, "Prompt with <text> for the word (repeatable; default: signs for a demo model, else the paper's)")
      ->excludes(file);
  verb->add_option("--words", options->words, "File of words, one a line (default: words that the demo models never saw)")->excludes(file);
  verb->add_option("--pairs", settings.pairs, "Pairs to make of template and words, two words each")->check(CLI::Range(1, 100000))->capture_default_str();
  auto* seeds = verb->add_option("--seeds", settings.seeds, "Seeds of the noises (default: --seed, and --noises of them from there on)")->delimiter(',');
  verb->add_option("--noises", settings.noises, "Noises for each pair; with one alone, intervals are over words only")
      ->check(CLI::Range(1, 1000))
      ->excludes(seeds)
      ->capture_default_str();
  verb->add_option("--from-step", settings.from_step, "First step that is patched")->capture_default_str();
  verb->add_option("--pooled", options->pooled,
                   "source or target: whose pooled prompt patched images read, where the model reads one (" +
                       names_of_families([](const auto&, const auto& one) { return one.reads_pooled_prompt; }) + ")")
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
    command::Localize command = options->command;
    if (!options->prompts.empty()) command.prompts = read_pairs(options->prompts);
    if (!options->words.empty()) command.words = read_word_list(options->words);
    command.sampling = options->sampling.sampling(context.common.seed);
    command.sampling.method = options->method;
    command.pooled_target = options->pooled == "target";
    command.folder = options->out;
    command.adapters = context.common.adapters;
    command.begin = options->resume ? command::Localize::Begin::go_on : command::Localize::Begin::anew;
    command.each_pair = false;
    parse_method(options->method);
    context.read_by(options->ocr);
    const auto model = context.open(options->model);
    const auto found = context.get<event::ScoresReady>(command);
    const auto folder = std::filesystem::path(options->out);
    if (context.common.json) return context.print(read_text(folder / "run.json"));
    print_findings(found, model.table);
    std::printf("%s\n", (folder / "heatmap.png").c_str());
  };
}

}  // namespace glyphscope::cli
