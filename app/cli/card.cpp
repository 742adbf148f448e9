// What is done with a localization card: its sites for other programs, and tested on other models.
#include <algorithm>
#include <cstdio>

#include "app/cli/cli.h"
#include "app/cli/print_card.h"
#include "experiments/card.h"

namespace glyphscope::cli {

Run add_export_card(CLI::App& app) {
  struct Options {
    std::string card, out;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("export-card", "Writes the sites of a localization card for PEFT, OneTrainer, kohya's trainer and ComfyUI");
  verb->add_option("CARD", options->card, "card.json of localize --certify")->required();
  verb->add_option("--out", options->out, "Folder of the files: peft.json, onetrainer.json, lycoris.toml, comfyui.json")->required();
  return [=](const Context& context) {
    context.refuse_guard("A card is read, and no picture is drawn");
    const Card card = read_card(options->card);
    const auto written = export_card(card, options->out);
    if (context.common.json)
      return context.print(nlohmann::ordered_json{{"schema", "glyphscope.exported-card/1"}, {"model_hash", card.model_hash}, {"written", written}});
    const auto has = [&](const char* name) { return std::find(written.begin(), written.end(), name) != written.end(); };
    if (!has("lycoris.toml")) context.say("note: kohya's trainer has no names for this family of models, and gets no file");
    if (!has("comfyui.json")) context.say("note: the names of these layers in the model's first code are not known, so ComfyUI gets no file");
    for (const auto& file : written) std::printf("%s\n", (std::filesystem::path(options->out) / file).c_str());
  };
}

Run add_transfer(CLI::App& app) {
  struct Options {
    std::string card, model, out, ocr = "ppocr";
    bool resume = false;
    std::int64_t batch = 16;
    JudgeOptions judges;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb =
      app.add_subcommand("transfer",
                         "Tests the sites of a localization card on another checkpoint, number format or adapter: with the card's prompts, noises and "
                         "settings, on the words that reported there");
  verb->add_option("CARD", options->card, "card.json of localize --certify")->required();
  verb->add_option("MODEL", options->model, kModelHelp)->required();
  verb->add_option("--ocr", options->ocr, "ppocr or tesseract")->capture_default_str();
  options->judges.add(*verb);
  verb->add_option("--batch", options->batch, "Images in one batch")->check(CLI::Range(1, 4096))->capture_default_str();
  verb->add_flag("--resume", options->resume, "Go on with the run that is in --out");
  verb->add_option("--out", options->out, "Folder of the run: its cells, card.json and card.png")->required();
  return [=](const Context& context) {
    // Before a model is loaded.
    read_card(options->card);
    context.finish_on_sigterm();
    context.read_by(options->ocr);
    const auto model = context.open(options->model);
    command::Localize command;
    command.card = options->card;
    command.folder = options->out;
    command.sampling.rows_at_once = options->batch;
    command.adapters = context.common.adapters;
    command.judges = options->judges.folders;
    command.begin = options->resume ? command::Localize::Begin::go_on : command::Localize::Begin::anew;
    command.each_pair = false;
    const auto card = context.get<event::Certified>(command);
    if (context.common.json) return context.print(card.document);
    print_card(card, model.table);
    std::printf("%s\n", (std::filesystem::path(options->out) / "card.png").c_str());
  };
}

}  // namespace glyphscope::cli
