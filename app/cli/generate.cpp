#include "app/cli/cli.h"
#include "app/cli/wording.h"
#include "io/files.h"
#include "io/json.h"

namespace glyphscope::cli {

Run add_generate(CLI::App& app) {
  struct Options {
    std::string model, prompt, out;
    SamplingOptions sampling;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("generate", "Makes an image from a prompt");
  verb->add_option("MODEL", options->model, kModelHelp)->required();
  verb->add_option("--prompt", options->prompt, "What to draw; (word:1.2) counts for more")->required();
  verb->add_option("--out", options->out, "PNG file to write; its metadata say how to make it again")->required();
  options->sampling.add(*verb);
  return [=](const Context& context) {
    check_output_file(options->out, ".png", {options->sampling.image});
    const command::Generate command{.source = options->prompt,
                                    .target = {},
                                    .sampling = options->sampling.sampling(context.common.seed),
                                    .read = command::Generate::Read::no,
                                    .adapters = context.common.adapters};
    context.note_learned(context.open(options->model), {quoted_text(options->prompt)});
    const auto ready = context.get<event::PicturesReady>(command);
    for (const auto& note : ready.notes) context.note(note);
    write_picture(options->out, ready.source);
    auto document = nlohmann::ordered_json::parse(ready.source.metadata);
    document["file"] = options->out;
    document["notes"] = nlohmann::ordered_json::array();
    for (const auto& note : ready.notes) document["notes"].push_back(in_words(note));
    document["seconds"] = {{"mean", ready.seconds}};
    context.print(document);
    if (!context.common.json) context.say(options->out);
  };
}

}  // namespace glyphscope::cli
