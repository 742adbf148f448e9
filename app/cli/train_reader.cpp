#include "demo/train_reader.h"

#include <cstdio>

#include "app/cli/cli.h"
#include "io/files.h"

namespace glyphscope::cli {

Run add_train_reader(CLI::App& app) {
  struct Options {
    std::string out;
    bool resume = false;
    TrainReaderSettings settings;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("train-reader", "Trains the small reader whose log-likelihoods score texts, on drawn lines");
  verb->add_option("--steps", options->settings.steps, "Steps of the optimizer")->check(CLI::Range(1, 10'000'000))->capture_default_str();
  verb->add_option("--batch", options->settings.batch, "Lines at once")->check(CLI::Range(1, 4096))->capture_default_str();
  verb->add_flag("--resume", options->resume, "Go on with the checkpoints in --out");
  verb->add_option("--out", options->out, "Folder for checkpoints and the finished reader")->required();
  return [=](const Context& context) {
    context.refuse_guard("It draws no pictures of a model");
    TrainReaderSettings settings = options->settings;
    if (context.common.seed_given) settings.seed = context.common.seed;
    train_reader(
        settings, options->out, options->resume,
        [&](const ReaderProgress& p) {
          std::fprintf(stderr, "step %lld/%lld  loss %.4f\n", static_cast<long long>(p.step), static_cast<long long>(p.steps), p.loss);
        },
        context.cancel);
    const auto config = read_json(std::filesystem::path(options->out) / "reader/config.json");
    context.print({{"schema", "glyphscope.train-reader/1"}, {"reader", options->out + "/reader"}, {"accuracy", config.at("accuracy")}});
    if (context.common.json) return;
    for (const char* part : {"words", "faces", "signs"})
      std::printf("%s that were not learned from: %.1f %% of lines read exactly, F1 %.3f\n", part, 100 * config["accuracy"][part]["exact"].get<double>(),
                  config["accuracy"][part]["f1"].get<double>());
    context.say(options->out + "/reader");
  };
}

}  // namespace glyphscope::cli
