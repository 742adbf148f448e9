#include <cstdio>

#include "app/cli/cli.h"
#include "demo/sign_folder.h"
#include "demo/sign_words.h"
#include "io/files.h"
#include "io/resources.h"

namespace glyphscope::cli {

Run add_draw_signs(CLI::App& app) {
  struct Options {
    std::string model = "demo:sign-unet", font, words, out;
    bool numbers = false;
    int shortest = 0, longest = 0;
    SignFolder settings;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("draw-signs", "Draws pictures of signs with captions, to fine-tune a demo model on");
  verb->add_option("MODEL", options->model, "The demo model they are for: it says how large they are and how long their texts")->capture_default_str();
  auto* words = verb->add_option("--words", options->words, "File of words, one a line (default: those that the demo models learned; of six letters, others)");
  verb->add_flag("--numbers", options->numbers, "Numbers in place of words, which no demo model has learned")->excludes(words);
  verb->add_option("--shortest", options->shortest, "Fewest letters of a text (default: as the model learned)")->check(CLI::Range(1, 12));
  verb->add_option("--longest", options->longest, "Most letters; what would not fit is drawn smaller")->check(CLI::Range(1, 12));
  verb->add_option("--font", options->font, "mono, oblique, sans or serif (default: as the model learned)")
      ->check(CLI::IsMember({"mono", "oblique", "sans", "serif"}));
  verb->add_option("--count", options->settings.count, "Pictures")->check(CLI::Range(1, 1'000'000))->capture_default_str();
  verb->add_option("--held-out", options->settings.held_out, "Texts that no picture has, for prompts.txt")->check(CLI::Range(0, 10'000))->capture_default_str();
  verb->add_option("--out", options->out, "Folder for the pictures, metadata.jsonl and prompts.txt")->required();
  return [=](const Context& context) {
    context.refuse_guard("Its pictures are drawn, not made by a model");
    SignFolder settings = options->settings;
    settings.seed = context.common.seed;
    context.open(options->model);
    const auto pipeline = context.pipeline();
    settings.data = sign_data(pipeline->info());
    if (options->longest > 0) settings.data.longest = options->longest;
    if (options->shortest > 0) settings.data.shortest = options->shortest;
    if (settings.data.shortest > settings.data.longest) reject("texts cannot have more letters than the most", "--shortest", "Name --longest too");
    if (options->font == "mono") settings.font = TextStyle::Font::mono;
    if (options->font == "oblique") settings.font = TextStyle::Font::oblique;
    if (options->font == "sans") settings.font = TextStyle::Font::sans;
    if (options->font == "serif") settings.font = TextStyle::Font::serif;
    settings.texts = options->numbers
                         ? sign_numbers(2000, settings.data, settings.seed)
                         : sign_words(settings.data, options->words.empty() ? resource(settings.data.shortest > 5 ? "words/longer.txt" : "words/train.txt")
                                                                            : std::filesystem::path(options->words));
    const OutputFolder folder(options->out);
    draw_sign_folder(
        settings, folder.path(), [&](const Progress& p) { context.show(p); }, context.cancel);
    context.end_progress();
    context.print({{"schema", "glyphscope.draw-signs/1"}, {"folder", options->out}, {"pictures", settings.count}, {"seed", settings.seed}});
    context.say(options->out + "/metadata.jsonl");
  };
}

}  // namespace glyphscope::cli
