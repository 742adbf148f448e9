#include <algorithm>
#include <cstdio>
#include <thread>
#include <tuple>

#include "app/cli/cli.h"
#include "app/cli/print_card.h"
#include "app/cli/workers.h"
#include "core/option.h"
#include "experiments/certificate.h"
#include "io/files.h"
#include "io/resources.h"
#include "registry/families.h"

namespace glyphscope::cli {

namespace {

std::string set_name(const event::ScoresReady::Set& set) {
  if (set.kind == SetKind::random) return "random " + format_sites(set.sites);
  return set.kind == SetKind::all ? "all sites" : "sites " + format_sites(set.sites);
}

void print_table(const event::ScoresReady& found, const SiteTable& table, const ScoreColumns& columns) {
  const auto line = [&](const std::string& name, const std::map<std::string, Score>& scores) {
    std::printf("  %-14s%s\n", name.c_str(), columns.line(scores).c_str());
  };
  std::printf("  %-14s%s\n", "patched", columns.titles().c_str());
  line("nothing (A)", found.source);
  line("B's own image", found.target);
  for (size_t site = 0; site < table.sites.size(); ++site) {
    std::map<std::string, Score> scores;
    for (const auto& [key, list] : found.sites) scores[key] = list[site];
    line("site " + std::to_string(site), scores);
  }
  for (const auto& set : found.sets) line(set_name(set), set.scores);
}

// The table of arXiv 2502.09935, each number as the paper's code computes it.
void print_paper_table(const event::ScoresReady& found, const SiteTable& table) {
  std::vector<const char*> keys{"paper_mse",           "ssim", "paper_psnr", "target_precision", "target_recall", "target_f1_of_means", "anagram_accuracy",
                                "target_edit_distance"};
  if (found.source.contains("clip_t")) keys.push_back("clip_t");
  std::printf(
      "\nas the code of arXiv 2502.09935 computes it: squared errors in 8 bits, which wrap; accuracy is an anagram's; F1 is of mean precision and mean\n"
      "recall. Read by this run's OCR, where the paper has EasyOCR; on the pairs that report alone%s\n",
      found.source.contains("clip_t") ? "" : "; without CLIP-T, as no --clip-model is given");
  print_table(found, table, ScoreColumns(keys));
}

void print_findings(const event::ScoresReady& found, const SiteTable& table) {
  print_table(found, table, ScoreColumns(found.source));
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

// A table of the mean of one score: rows x columns, with intervals where one axis leaves room for them.
void print_map(const event::MapReady& map) {
  const size_t columns = map.columns.size();
  const bool narrow = columns > 1;
  const auto mean = [&](const std::map<std::string, Score>& scores, const char* key) {
    const auto found = scores.find(key);
    if (found == scores.end()) return std::string("-");
    char text[16];
    std::snprintf(text, sizeof text, "%.2f", found->second.mean);
    return std::string(text);
  };
  size_t label = 10;
  for (const auto& row : map.rows) label = std::max(label, row.size());
  const ScoreColumns keys(map.source);
  const auto cell = [&](const std::string& text, size_t width) { std::printf("  %-*s", static_cast<int>(width), text.c_str()); };
  if (!narrow) {
    cell(map.by, label);
    std::printf("%s\n", keys.titles().c_str());
    const auto line = [&](const std::string& name, const std::map<std::string, Score>& scores) {
      cell(name, label);
      std::printf("%s\n", keys.line(scores).c_str());
    };
    line("A's own", map.source);
    line("B's own", map.target);
    for (size_t row = 0; row < map.rows.size(); ++row) line(map.rows[row], map.scores[row]);
  } else {
    size_t width = 5;
    for (const auto& column : map.columns) width = std::max(width, column.size());
    for (const ScoreInfo* score : keys.list()) {
      const char* key = score->key.data();
      std::printf("%s (A's own %s, B's own %s)\n", score->title, mean(map.source, key).c_str(), mean(map.target, key).c_str());
      cell("", label);
      for (const auto& column : map.columns) cell(column, width);
      std::printf("\n");
      for (const auto& [name, own] : {std::pair("A's own", &map.attribute_source), {"B's own", &map.attribute_target}}) {
        if (!std::all_of(map.columns.begin(), map.columns.end(), [&own = own](const std::string& column) { return own->contains(column); })) continue;
        cell(name, label);
        for (const auto& column : map.columns) cell(mean(own->at(column), key), width);
        std::printf("\n");
      }
      for (size_t row = 0; row < map.rows.size(); ++row) {
        cell(map.rows[row], label);
        for (size_t column = 0; column < columns; ++column) cell(mean(map.scores[row * columns + column], key), width);
        std::printf("\n");
      }
      std::printf("\n");
    }
  }
  const auto attributes = static_cast<int>(map.attribute_source.size());
  std::printf("means over %d pairs%s and %d noise%s, none of which chose anything\n", attributes > 0 ? map.pairs / attributes : map.pairs,
              attributes > 0 ? " of each attribute" : "", map.noises, map.noises == 1 ? "" : "s");
}

std::string duration(double seconds) {
  char text[32];
  if (seconds < 120)
    std::snprintf(text, sizeof text, "%.0f s", seconds);
  else if (seconds < 7200)
    std::snprintf(text, sizeof text, "%.0f min", seconds / 60);
  else if (seconds < 48 * 3600)
    std::snprintf(text, sizeof text, "%.1f h", seconds / 3600);
  else
    std::snprintf(text, sizeof text, "%.1f days", seconds / 86400);
  return text;
}

void print_plan(const event::RunPlanned& plan) {
  std::printf("  %9s  %9s  %13s\n", "cells", "pictures", "denoiser rows");
  for (const auto& one : plan.questions)
    std::printf("  %9lld  %9lld  %13lld  %s%s\n", static_cast<long long>(one.cells), static_cast<long long>(one.pictures),
                static_cast<long long>(one.denoiser_rows), one.at_most ? "at most: " : "", one.title.c_str());
  std::printf("%lld pictures, %lld denoiser rows, %.1f MB, about %s here as it is measured now\n", static_cast<long long>(plan.pictures),
              static_cast<long long>(plan.denoiser_rows), static_cast<double>(plan.bytes) / 1e6, duration(plan.seconds).c_str());
  std::printf("%d independent words and %d noise%s: a difference of %.2f in a mean share is found four times in five, where words differ as much as they can\n",
              plan.words, plan.noises, plan.noises == 1 ? "" : "s", plan.detectable);
}

// "2/4": the second of four.
std::pair<int, int> parse_shard(const std::string& text) {
  int index = 0, count = 0;
  char rest = 0;
  if (std::sscanf(text.c_str(), "%d/%d%c", &index, &count, &rest) != 2 || index < 1 || count < 1 || index > count)
    reject("'" + text + "' is no shard", option(Option::shard, text), "Write I/N, as 1/4, .. 4/4");
  return {index - 1, count};
}

}  // namespace

Run add_localize(CLI::App& app) {
  struct Options {
    std::string model, prompts, words, out, ocr = "ppocr", method = "automatic", pooled = "source", shard;
    std::vector<std::string> devices;
    bool resume = false, paper = false;
    command::Localize command;
    SamplingOptions sampling;
    JudgeOptions judges;
  };
  auto options = std::make_shared<Options>();
  command::Localize& settings = options->command;
  CLI::App* verb = app.add_subcommand("localize",
                                      "Finds the layers that write the text: patches every site alone, reads the images, chooses by half of the words and "
                                      "reports on the other half. With --by, "
                                      "a map of what patching does, by steps, heads, tokens and others");
  verb->add_option("MODEL", options->model, kModelHelp)->required();
  auto* file = verb->add_option("--prompts", options->prompts, "File of prompt pairs: A, a tab, B, each with its text in double quotes");
  auto* forms =
      verb->add_option("--template", settings.templates, "Prompt with <text> for the word (repeatable; default: signs for a demo model, else the paper's)")
          ->excludes(file);
  auto* attributes =
      verb->add_option(
              "--attributes", settings.attributes,
              "Of a demo model, what pairs differ by, --pairs of each: word, length, sign-colour, wall-colour, shape, or all. With --by site-attribute: "
              "which site carries which")
          ->delimiter(',')
          ->excludes(file)
          ->excludes(forms);
  verb->add_option("--words", options->words, "File of words, one a line (default: words that the demo models never saw)")
      ->excludes(file)
      ->excludes(attributes);
  verb->add_option("--pairs", settings.pairs, "Pairs to make of template and words, two words each")->check(CLI::Range(1, 100000))->capture_default_str();
  auto* seeds = verb->add_option("--seeds", settings.seeds, "Seeds of the noises (default: --seed, and --noises of them from there on)")->delimiter(',');
  verb->add_option("--noises", settings.noises, "Noises for each pair; with one alone, intervals are over words only")
      ->check(CLI::Range(1, 1000))
      ->excludes(seeds)
      ->capture_default_str();
  verb->add_option(
          "--by", settings.by,
          "site, set, step, head, stream, part, token-group, encoder, direction or attribute; or two of them, as site-step: rows and columns of a map. All "
          "that is not named is "
          "patched")
      ->capture_default_str();
  verb->add_option("--direction", settings.direction,
                   "sufficiency (A's image, sites see B), necessity (B's image, sites see A) or complement (A's image, all other sites see B)")
      ->capture_default_str();
  verb->add_option("--sites", settings.sites, "Sites that a map looks at, as 5,7-9 (default: all)");
  verb->add_option("--sets", settings.sets, "Sets of sites for --by set, as \"5;7-9;all\"");
  verb->add_option("--step-ranges", settings.step_ranges, "Ranges of steps for --by step")->check(CLI::Range(1, 1000))->capture_default_str();
  verb->add_flag("--certify", settings.certify,
                 "Choose sites on some words and noises, and report on others: sufficiency, necessity, controls, interactions, as a localization card");
  verb->add_option("--search", settings.search,
                   "For --certify: exhaustive (every site alone on every cell that chooses), adaptive (gradients order the sites, groups are tested, what is "
                   "found is verified), or adaptive-reader (with gradients towards the small reader's score of the text, in place of what the denoiser "
                   "predicts for it)")
      ->check(CLI::IsMember({"exhaustive", "adaptive", "adaptive-reader"}))
      ->capture_default_str();
  verb->add_option("--false-discovery", settings.false_discovery, "For --certify: share of the sites called discovered that may have no effect")
      ->check(CLI::Range(0.0001, 0.5))
      ->capture_default_str();
  verb->add_option("--players", settings.players,
                   "For --certify: sites of which all sets are drawn, for interactions and Shapley values (default, 0: those that are chosen, up to four)")
      ->check(CLI::Range(0, 11))
      ->capture_default_str();
  verb->add_flag("--plan", settings.plan_only, "Print what the run would take: images, denoiser rows, bytes, time; and stop");
  auto* shard = verb->add_option("--shard", options->shard, "I/N: draw every N-th cell from the I-th on; `glyphscope merge` joins the shards' folders");
  verb->add_flag("--wait", settings.waits, "Wait for the cells of other shards, which fill the same --out, and finish the run with them")->needs(shard);
  verb->add_option("--devices", options->devices, "Devices of this machine, as cuda:0,cuda:1, that draw the run together, a process each")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->excludes(shard);
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
  auto* random_sets =
      verb->add_option("--random-sets", settings.random_sets,
                       "Random sets, as controls: of as many sites as the smallest set found, none of them chosen, with as nearly as many parameters as there "
                       "are; of a card 2, if it is left out")
          ->check(CLI::Range(0, 100))
          ->capture_default_str();
  verb->add_option("--method", options->method, "automatic, injection, recording or lockstep")->capture_default_str();
  verb->add_option("--ocr", options->ocr, "ppocr or tesseract")->capture_default_str();
  verb->add_flag("--paper-compatible", options->paper, "Print the table of arXiv 2502.09935 too, each number as the paper's code computes it");
  verb->add_flag("--keep-images", settings.keep_images, "Write every pair's images too");
  verb->add_flag("--resume", options->resume, "Go on with the run that is in --out");
  verb->add_option("--out", options->out, "Folder of the run: its cells, and run.json, sites.csv and heatmap.png, or a map's files")->required();
  options->judges.add(*verb);
  options->sampling.add(*verb);
  return [=](const Context& context) {
    command::Localize command = options->command;
    const auto folder = std::filesystem::path(options->out);
    if (!options->prompts.empty()) command.prompts = read_pairs(options->prompts);
    if (!options->words.empty()) command.words = read_word_list(options->words);
    if (!command.attributes.empty() && command.by == "site") command.by = "site-attribute";
    command.sampling = options->sampling.sampling(context.common.seed);
    command.sampling.method = options->method;
    command.pooled_target = options->pooled == "target";
    command.folder = options->out;
    command.certify = command.certify || command.search != "exhaustive";
    if (command.certify && random_sets->count() == 0) command.random_sets = CertifySettings().random_sets;
    if (options->paper && (command.certify || command.by != "site"))
      reject("the paper's table is of a localization by sites", "--paper-compatible", "Leave out --by, --certify and --search");
    command.adapters = context.common.adapters;
    command.judges = options->judges.folders;
    command.begin = options->resume ? command::Localize::Begin::go_on : command::Localize::Begin::anew;
    command.each_pair = false;
    if (!options->shard.empty()) std::tie(command.shard, command.shards) = parse_shard(options->shard);
    parse_method(options->method);
    context.finish_on_sigterm();
    if (!options->devices.empty() && !command.plan_only) {
      std::vector<std::string> arguments = without_options(context.arguments, {"--devices", "--device"});
      const bool on_cpu = std::find(options->devices.begin(), options->devices.end(), "cpu") != options->devices.end();
      if (on_cpu && context.common.threads == 0)
        for (const std::string& more :
             {std::string("--threads"), std::to_string(std::max<size_t>(1, std::thread::hardware_concurrency() / options->devices.size()))})
          arguments.push_back(more);
      if (!options->resume && std::filesystem::exists(folder / "settings.json"))
        reject("the folder holds a run already", folder.string(), "Go on with it by " + option(Option::resume) + ", or choose another " + option(Option::out));
      return run_workers(options->devices, arguments, options->out, context.cancel);
    }
    context.read_by(options->ocr);
    const auto model = context.open(options->model);
    std::optional<event::ScoresReady> found;
    std::optional<event::MapReady> map;
    std::optional<event::Certified> card;
    std::optional<event::RunPlanned> plan;
    std::optional<event::ShardDone> part;
    context.run(command, [&](const event::Any& what) {
      if (const auto* one = std::get_if<event::ScoresReady>(&what)) found = *one;
      if (const auto* one = std::get_if<event::MapReady>(&what)) map = *one;
      if (const auto* one = std::get_if<event::Certified>(&what)) card = *one;
      if (const auto* one = std::get_if<event::RunPlanned>(&what)) plan = *one;
      if (const auto* one = std::get_if<event::ShardDone>(&what)) part = *one;
    });
    const bool json = context.common.json;
    if (plan) return json ? context.print(plan->document) : print_plan(*plan);
    if (map) {
      if (json) return context.print(map->document);
      print_map(*map);
      std::printf("%s\n", (folder / ("map-" + map->name + ".png")).c_str());
    }
    if (card) {
      if (json) return context.print(card->document);
      print_card(*card, model.table);
      std::printf("%s\n", (folder / "card.png").c_str());
    }
    if (found) {
      if (json) return context.print(read_text(folder / "run.json"));
      print_findings(*found, model.table);
      if (options->paper) print_paper_table(*found, model.table);
      std::printf("%s\n", (folder / "heatmap.png").c_str());
    }
    if (!part) return;
    if (json)
      return context.print(nlohmann::ordered_json{
          {"schema", "glyphscope.shard/1"}, {"shard", part->shard + 1}, {"of", part->shards}, {"question", part->question}, {"missing_cells", part->missing}});
    std::printf("shard %d of %d has drawn its cells of '%s'; %zu of other shards are not in %s\n", part->shard + 1, part->shards, part->question.c_str(),
                part->missing, folder.c_str());
  };
}

}  // namespace glyphscope::cli
