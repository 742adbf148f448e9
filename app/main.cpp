#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>

#include <torch/torch.h>
#include "demo/train_demo.h"
#include "core/error.h"
using namespace glyphscope;
static CancelToken token;
int main(int argc, char** argv) {
  CLI::App app("glyphscope");
  auto* t = app.add_subcommand("train-demo");
  std::string name, out; bool resume = false, tiny = false; std::int64_t steps = 0, vae_steps = 0; int threads = 0;
  t->add_option("name", name)->required(); t->add_option("--out", out)->required(); t->add_flag("--resume", resume); t->add_flag("--tiny", tiny); t->add_option("--steps", steps); t->add_option("--autoencoder-steps", vae_steps);
  t->add_option("--threads", threads);
  CLI11_PARSE(app, argc, argv);
  if (threads) torch::set_num_threads(threads);
  std::signal(SIGINT, [](int) { token.cancel(); });
  std::signal(SIGTERM, [](int) { token.cancel(); });
  auto r = attempt([&] {
    auto recipe = demo_recipe(name, tiny);
    if (steps) recipe.denoiser_steps = steps;
    if (vae_steps) recipe.autoencoder_steps = vae_steps;
    train_demo(recipe, out, resume, [](const DemoProgress& p) { std::fprintf(stderr, "%s %lld/%lld loss %.4f %.0f/s\n", p.stage.c_str(), (long long)p.step, (long long)p.steps, p.loss, p.samples_per_second); }, token);
  });
  if (!r) { std::fprintf(stderr, "%s\n", r.error().message().c_str()); return 2; }
}
