#include "demo/train_demo.h"

#include <cstdio>

#include "app/cli/cli.h"

namespace glyphscope::cli {

Run add_train_demo(CLI::App& app) {
  struct Options {
    std::string name, out;
    bool resume = false, tiny = false;
    std::int64_t steps = 0, autoencoder_steps = 0;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("train-demo", "Trains a demo model that writes text, from scratch");
  verb->add_option("NAME", options->name, "sign-unet")->required();
  verb->add_option("--out", options->out, "Folder for checkpoints and the finished model")->required();
  verb->add_option("--steps", options->steps, "Steps of the denoiser (default: the recipe's)")->check(CLI::Range(1, 10'000'000));
  verb->add_option("--autoencoder-steps", options->autoencoder_steps, "Steps of the autoencoder (default: the recipe's)")->check(CLI::Range(1, 10'000'000));
  verb->add_flag("--resume", options->resume, "Go on with the checkpoints in --out");
  verb->add_flag("--tiny", options->tiny, "A model of seconds that learns nothing, to try the machinery");
  return [=](const Context& context) {
    DemoRecipe recipe = demo_recipe(options->name, options->tiny);
    if (context.common.seed_given) recipe.seed = context.common.seed;
    if (options->steps > 0) recipe.denoiser_steps = options->steps;
    if (options->autoencoder_steps > 0) recipe.autoencoder_steps = options->autoencoder_steps;
    train_demo(
        recipe, options->out, options->resume,
        [&](const DemoProgress& p) {
          std::fprintf(stderr, "%s %lld/%lld  loss %.4f  %.0f images/s\n", p.stage.c_str(), static_cast<long long>(p.step), static_cast<long long>(p.steps),
                       p.loss, p.samples_per_second);
        },
        context.cancel);
    context.print({{"schema", "glyphscope.train-demo/1"}, {"model", options->out + "/model"}, {"recipe", recipe.to_json()}});
    if (!context.common.json) context.say(options->out + "/model");
  };
}

}  // namespace glyphscope::cli
