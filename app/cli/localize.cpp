#include <algorithm>
#include <cstdio>
#include <thread>
#include <tuple>

#include "app/cli/cli.h"
#include "app/cli/workers.h"
#include "core/option.h"
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

// A table of the mean of one score: rows x columns, with intervals where one axis leaves room for them.
void print_map(const event::MapReady& map) {
  const size_t columns = map.columns.size();
  const bool narrow = columns > 1;
  const auto mean = [&](const std::map<std::string, Score>& scores, const char* key) {
    if (scores.empty()) return std::string("-");
    if (!narrow) return score_text(scores, key);
    char text[16];
    std::snprintf(text, sizeof text, "%.2f", scores.at(key).mean);
    return std::string(text);
  };
  size_t label = 10;
  for (const auto& row : map.rows) label = std::max(label, row.size());
  constexpr const char* kKeys[] = {"target_f1", "source_f1", "ssim_outside_text"};
  const auto cell = [&](const std::string& text, size_t width) { std::printf("  %-*s", static_cast<int>(width), text.c_str()); };
  if (!narrow) {
    cell(map.by, label);
    for (const char* key : kKeys) cell(find_score(key)->title, 19);
    std::printf("\n");
    const auto line = [&](const std::string& name, const std::map<std::string, Score>& scores) {
      cell(name, label);
      for (const char* key : kKeys) cell(mean(scores, key), 19);
      std::printf("\n");
    };
    line("A's own", map.source);
    line("B's own", map.target);
    for (size_t row = 0; row < map.rows.size(); ++row) line(map.rows[row], map.scores[row]);
  } else {
    size_t width = 5;
    for (const auto& column : map.columns) width = std::max(width, column.size());
    for (const char* key : kKeys) {
      std::printf("%s (A's own %s, B's own %s)\n", find_score(key)->title, mean(map.source, key).c_str(), mean(map.target, key).c_str());
      cell("", label);
      for (const auto& column : map.columns) cell(column, width);
      std::printf("\n");
      for (size_t row = 0; row < map.rows.size(); ++row) {
        cell(map.rows[row], label);
        for (size_t column = 0; column < columns; ++column) cell(mean(map.scores[row * columns + column], key), width);
        std::printf("\n");
      }
      std::printf("\n");
    }
  }
  std::printf("means over %d pairs and %d noise%s, none of which chose anything\n", map.pairs, map.noises, map.noises == 1 ? "" : "s");
}

void print_certificate(const event::Certified& card, const SiteTable& table) {
  std::printf("  %-6s  %-21s  %-9s  %s\n", "site", "adds to B's F1 alone", "p", "Shapley value among those looked at");
  for (const auto& site : card.sites) {
    const bool discovered = std::find(card.discovered.begin(), card.discovered.end(), site.site) != card.discovered.end();
    std::printf("  %-6d  %-21s  %-9.2g%s %s\n", site.site, score_text({{"effect", site.effect}}, "effect").c_str(), site.p, discovered ? "*" : " ",
                site.shapley ? score_text({{"effect", *site.shapley}}, "effect").c_str() : "");
  }
  std::printf("  * discovered: of all that are, %.0f %% may be false (Benjamini-Hochberg)\n\n", 100 * card.false_discovery);
  const auto line = [](const std::string& name, const std::map<std::string, Score>& scores) {
    std::printf("  %-34s", name.c_str());
    for (const char* key : {"target_f1", "source_f1", "ssim_outside_text"}) std::printf("  %-19s", score_text(scores, key).c_str());
    std::printf("\n");
  };
  std::printf("  %-34s", "on the words that report");
  for (const char* key : {"target_f1", "source_f1", "ssim_outside_text"}) std::printf("  %-19s", find_score(key)->title);
  std::printf("\n");
  line("A's own picture", card.source);
  line("B's own picture", card.target);
  for (const auto& set : card.sets) {
    const std::string sites = format_sites(set.sites);
    if (set.role == "sufficiency") line("A, " + sites + " see B (sufficiency)", set.scores);
    if (set.role == "necessity") line("B, " + sites + " see A (necessity)", set.scores);
    if (set.role == "complement") line("A, all but " + sites + " see B", set.scores);
    if (set.role == "control") line("control: A, " + sites + " see B", set.scores);
    if (set.role == "control_necessity") line("control: B, " + sites + " see A", set.scores);
    if (set.role == "all_sites") line("A, all sites see B", set.scores);
    if (set.role == "all_sites_necessity") line("B, all sites see A", set.scores);
  }
  const auto part = [](int words, int noises) { return std::to_string(words) + " words and " + std::to_string(noises) + (noises == 1 ? " noise" : " noises"); };
  std::printf("\nchosen on %s, reported on %s (%s)\n", part(card.choosing_words, card.choosing_noises).c_str(),
              part(card.reporting_words, card.reporting_noises).c_str(),
              card.words_apart    ? (card.noises_apart ? "others" : "other words, the same noises")
              : card.noises_apart ? "the same words, other noises"
                                  : "the same: there are too few");
  if (card.search)
    std::printf(
        "searched by %lld pictures and gradients worth %.1f, where every site alone would have taken %lld; gradients order the sites that were tried as "
        "their effects do, with a rank correlation of %.2f\n",
        static_cast<long long>(card.search->pictures), card.search->gradients_as_pictures, static_cast<long long>(card.search->exhaustive_pictures),
        card.search->rank_correlation);
  if (card.chosen.empty()) {
    std::printf("no set of sites that was tried keeps B's text\n");
    return;
  }
  std::printf("sites %s (%.2f %% of the denoiser's parameters): %s, %s, %s\n", format_sites(card.chosen).c_str(), 100 * table.share(card.chosen),
              card.sufficient ? "sufficient" : "not shown to be sufficient", card.necessary ? "necessary" : "not shown to be necessary",
              card.beats_controls ? "better than its controls" : "not shown to be better than its controls");
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
    bool resume = false;
    command::Localize command;
    SamplingOptions sampling;
  };
  auto options = std::make_shared<Options>();
  command::Localize& settings = options->command;
  CLI::App* verb = app.add_subcommand("localize",
                                      "Finds the layers that write the text: patches every site alone, reads the images, chooses by half of the words and "
                                      "reports on the other half. With --by, "
                                      "a map of what patching does, by steps, heads, tokens and others");
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
  verb->add_option(
          "--by", settings.by,
          "site, set, step, head, stream, token-group, encoder or direction; or two of them, as site-step: rows and columns of a map. All that is not named is "
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
                   "For --certify: exhaustive (every site alone on every cell that chooses), or adaptive (gradients order the sites, groups are tested, what "
                   "is found is "
                   "verified)")
      ->check(CLI::IsMember({"exhaustive", "adaptive"}))
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
  verb->add_option("--random-sets", settings.random_sets,
                   "Random sets, as controls: of as many sites as the smallest set found, none of them chosen, with as nearly as many parameters as there are")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  verb->add_option("--method", options->method, "automatic, injection, recording or lockstep")->capture_default_str();
  verb->add_option("--ocr", options->ocr, "ppocr or tesseract")->capture_default_str();
  verb->add_flag("--keep-images", settings.keep_images, "Write every pair's images too");
  verb->add_flag("--resume", options->resume, "Go on with the run that is in --out");
  verb->add_option("--out", options->out, "Folder of the run: its cells, and run.json, sites.csv and heatmap.png, or a map's files")->required();
  options->sampling.add(*verb);
  return [=](const Context& context) {
    command::Localize command = options->command;
    const auto folder = std::filesystem::path(options->out);
    if (!options->prompts.empty()) command.prompts = read_pairs(options->prompts);
    if (!options->words.empty()) command.words = read_word_list(options->words);
    command.sampling = options->sampling.sampling(context.common.seed);
    command.sampling.method = options->method;
    command.pooled_target = options->pooled == "target";
    command.folder = options->out;
    command.certify = command.certify || command.search == "adaptive";
    command.adapters = context.common.adapters;
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
      print_certificate(*card, model.table);
      std::printf("%s\n", (folder / "card.png").c_str());
    }
    if (found) {
      if (json) return context.print(read_text(folder / "run.json"));
      print_findings(*found, model.table);
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
