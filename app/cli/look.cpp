#include <cstdio>

#include "app/cli/cli.h"
#include "app/cli/wording.h"
#include "tasks/attention_view.h"

namespace glyphscope::cli {

Run add_look(CLI::App& app) {
  struct Options {
    std::string model, sites, heads;
    command::Look command;
    SamplingOptions sampling;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb =
      app.add_subcommand("look", "Draws a prompt, and shows where the picture looks among its words: attention maps of each word, by site and by step");
  verb->add_option("MODEL", options->model, kModelHelp)->required();
  verb->add_option("--prompt", options->command.prompt, "What to draw")->required();
  verb->add_option("--words", options->command.words,
                   "Words of the prompt whose maps are drawn by site and by step (repeatable; default: those in double quotes)");
  verb->add_option("--sites", options->sites, "Sites that are looked at, as 5,7-9 (default: all)");
  verb->add_option("--heads", options->heads, "Of these sites only some heads, as 5:0,2;7:1 (default: the mean over all)");
  verb->add_option("--out", options->command.folder, "Folder for look.json, look.safetensors, picture.png, words.png, sites.png and steps.png")->required();
  options->sampling.add(*verb);
  return [=](const Context& context) {
    const auto opened = context.open(options->model);
    command::Look command = options->command;
    command.sampling = options->sampling.sampling(context.common.seed);
    command.adapters = context.common.adapters;
    if (!options->sites.empty()) command.sites = parse_sites(options->sites, opened.table);
    if (!options->heads.empty()) {
      std::vector<int> sites = command.sites;
      for (int site = 0; sites.empty() && site < static_cast<int>(opened.table.sites.size()); ++site) sites.push_back(site);
      command.heads = parse_heads(options->heads, sites, opened.table);
    }
    const auto look = context.get<event::AttentionReady>(command);
    for (const auto& note : look.notes) context.note(note);
    context.print(look.document);
    if (context.common.json) return;
    std::printf("%-20s %8s  %s\n", "word", "share", "most at sites");
    for (size_t word = 0; word < look.words.size(); ++word) {
      std::vector<std::pair<double, int>> sites;
      for (const auto& site : look.sites) sites.emplace_back(attention_of(look, static_cast<int>(word), {site.site}, 0, look.ranges).mean, site.site);
      std::sort(sites.rbegin(), sites.rend());
      std::string most;
      constexpr size_t kShown = 4;
      for (size_t i = 0; i < std::min(kShown, sites.size()); ++i) {
        char text[48];
        std::snprintf(text, sizeof text, "%s%d (%.1f %%)", i > 0 ? ", " : "", sites[i].second, 100 * sites[i].first);
        most += text;
      }
      std::printf("%-20s %6.2f %%  %s\n", look.words[word].c_str(), 100 * attention_of(look, static_cast<int>(word), {}, 0, look.ranges).mean, most.c_str());
    }
    for (const char* file : {"words.png", "sites.png", "steps.png"}) std::printf("%s/%s\n", command.folder.c_str(), file);
  };
}

}  // namespace glyphscope::cli
