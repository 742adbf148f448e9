#include "demo/train_demo.h"

#include <cstdio>

#include "app/cli/cli.h"
#include "device/devices.h"
#include "device/memory_plan.h"

namespace glyphscope::cli {

Run add_train_demo(CLI::App& app) {
  struct Options {
    std::string name, out, init, autoencoder, styles = "varied";
    bool resume = false, tiny = false;
    std::int64_t steps = 0, autoencoder_steps = 0;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("train-demo", "Trains a demo model that writes text");
  verb->add_option("NAME", options->name, "sign-unet (Stable Diffusion's classes), sign-mmdit (Stable Diffusion 3's) or sign-pixel (DeepFloyd IF's)")
      ->required();
  verb->add_option("--out", options->out, "Folder for checkpoints and the finished model")->required();
  verb->add_option("--steps", options->steps, "Steps of the denoiser (default: the recipe's)")->check(CLI::Range(1, 10'000'000));
  verb->add_option("--autoencoder-steps", options->autoencoder_steps, "Steps of the autoencoder (default: the recipe's)")->check(CLI::Range(1, 10'000'000));
  verb->add_option("--init", options->init, "Start from the weights of this demo model's folder, not from scratch")->check(CLI::ExistingDirectory);
  verb->add_option("--autoencoder", options->autoencoder, "Take the autoencoder of this demo model's folder as it is, instead of training one")
      ->check(CLI::ExistingDirectory);
  verb->add_option("--styles", options->styles, "plain: one font, in the middle of the sign; varied: fonts, sizes and places")
      ->check(CLI::IsMember({"plain", "varied"}))
      ->capture_default_str();
  verb->add_flag("--resume", options->resume, "Go on with the checkpoints in --out");
  verb->add_flag("--tiny", options->tiny, "A model of seconds that learns nothing, to try the machinery");
  return [=](const Context& context) {
    context.refuse_guard("A model that is trained is not under one; its own verbs are");
    DemoRecipe recipe = demo_recipe(options->name, options->tiny);
    if (context.common.seed_given) recipe.seed = context.common.seed;
    if (!options->init.empty()) {
      recipe.init = options->init;
      recipe.autoencoder_rate /= 4;  // trained latents should stay where the denoiser knows them
    }
    recipe.autoencoder_from = options->autoencoder;
    recipe.device = plan_memory({}, {.device = context.common.device, .memory = context.common.memory}).device;
    if (!recipe.device.is_cpu()) context.note("Training on " + device_label(recipe.device));
    recipe.data.styles = options->styles == "plain" ? SignStyles::plain : SignStyles::varied;
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
