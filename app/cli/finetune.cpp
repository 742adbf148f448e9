#include <algorithm>
#include <cstdio>

#include "app/cli/finetune_options.h"
#include "demo/sign_words.h"

namespace glyphscope::cli {

namespace {

// "5:8" or "5:8,7:2": ranks of single sites.
std::map<int, std::int64_t> parse_ranks(const std::vector<std::string>& texts) {
  std::map<int, std::int64_t> out;
  for (const auto& text : texts) {
    int site = 0, end = 0;
    long long rank = 0;
    if (std::sscanf(text.c_str(), "%d:%lld%n", &site, &rank, &end) != 2 || static_cast<size_t>(end) != text.size() || rank < 1)
      reject("'" + text + "' names no rank of a site", "--ranks", "Write SITE:RANK, for example 5:8");
    out[site] = rank;
  }
  return out;
}

void say_step(const Context& context, const FinetuneProgress& progress) {
  context.end_progress();
  char line[160];
  int length = std::snprintf(line, sizeof line, "step %lld/%lld", static_cast<long long>(progress.step), static_cast<long long>(progress.steps));
  const auto add = [&](const char* format, double value) { length += std::snprintf(line + length, sizeof line - static_cast<size_t>(length), format, value); };
  if (progress.loss) add("  loss %.4f", *progress.loss);
  if (progress.held_out) add("  held out %.4f", *progress.held_out);
  if (progress.loss) add("  %.1f pictures/s", progress.pictures_per_second);
  context.say(line);
}

void say_samples(const Context& context, const event::SamplesDrawn& drawn) {
  context.end_progress();
  std::string line = "samples at step " + std::to_string(drawn.step) + ":";
  const auto add = [&](const char* name, const std::optional<double>& value) {
    char text[64];
    if (value) line += (std::snprintf(text, sizeof text, "  %s %.2f", name, *value), text);
  };
  add("words exact", drawn.exact);
  add("F1", drawn.f1);
  add("SSIM to the base model", drawn.ssim);
  context.say(line);
}

}  // namespace

Run add_finetune(CLI::App& app) {
  struct Options {
    std::string model, sites, out, sample_prompts, ocr = "ppocr";
    std::vector<std::string> ranks, text_encoders;
    bool every_attention = false, resume = false, mpi = false;
    std::int64_t save_every = 250, sample_every = 250;
    FinetuneOptions training;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("finetune", "Trains an adapter (LoRA, DoRA, LoHa, LoKr) on chosen layers");
  verb->add_option("MODEL", options->model, kModelHelp)->required();
  options->training.add(*verb);
  auto* sites = verb->add_option("--sites", options->sites, "Layers that get an adapter, for example 5,7-9");
  verb->add_flag("--every-attention", options->every_attention, "All attention layers get one, those that read no prompt too")->excludes(sites);
  verb->add_option("--ranks", options->ranks, "Ranks of single sites, as SITE:RANK")->delimiter(',');
  verb->add_option("--text-encoders", options->text_encoders, "Text encoders that learn too, by their folders' names (text_encoder,text_encoder_2), or all")
      ->delimiter(',');
  verb->add_option("--save-every", options->save_every, "Steps between two checkpoints")->check(CLI::Range(1, 1'000'000))->capture_default_str();
  verb->add_option("--sample-every", options->sample_every, "Steps between two sets of sample pictures, with their OCR scores; 0: none are drawn")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  verb->add_option("--sample-prompts", options->sample_prompts,
                   "File of their prompts, one a line: those with text in double quotes show how well it is written, those without how far the model "
                   "has drifted (default: some of each)");
  verb->add_option("--ocr", options->ocr, "ppocr or tesseract")->capture_default_str();
  verb->add_flag("--resume", options->resume, "Go on with the training that is in --out");
  verb->add_flag("--mpi", options->mpi,
                 "Train with all processes that mpirun or srun started, each with an equal part of every batch; --out must lie where all see it");
  verb->add_option("--out", options->out, "Folder for last.safetensors, best.safetensors, training.csv, training.png and samples")->required();
  return [=](const Context& context) {
    if (options->mpi) context.join_processes();
    FinetuneSettings settings = options->training.settings(context);
    settings.plan.every_attention = options->every_attention;
    settings.text_encoders = options->text_encoders;
    settings.plan.ranks = parse_ranks(options->ranks);
    settings.save_every = options->save_every;
    settings.sample_every = options->sample_every;
    if (options->sites.empty() && !settings.plan.every_attention) reject("no layer is named", "--sites", "Name sites, for example those that localize found");
    if (settings.sample_every > 0) context.read_by(options->ocr);
    options->training.read_pictures(context, settings);
    const auto model = context.open(options->model);
    if (!options->sites.empty()) settings.plan.sites = parse_sites(options->sites, model.table);
    for (const auto& [site, rank] : settings.plan.ranks)
      if (std::find(settings.plan.sites.begin(), settings.plan.sites.end(), site) == settings.plan.sites.end() && !settings.plan.every_attention)
        reject("--ranks names site " + std::to_string(site) + ", --sites does not", "--ranks");
    if (settings.sample_every > 0) settings.sample_prompts = sample_prompts(context.pipeline()->info(), options->sample_prompts);
    if (!settings.sample_prompts.empty())
      context.say(std::to_string(settings.sample_prompts.size()) + " samples are drawn now, every " + std::to_string(settings.sample_every) +
                  " steps and at the end; --sample-every 0 draws none");
    event::AdapterMade made;
    context.run(
        command::Finetune{.pictures = options->training.data(), .settings = settings, .folder = options->out, .resume = options->resume, .pictures_read = true},
        [&](const event::Any& what) {
          if (const auto* trained = std::get_if<event::Trained>(&what)) say_step(context, trained->progress);
          if (const auto* drawn = std::get_if<event::SamplesDrawn>(&what)) say_samples(context, *drawn);
          if (const auto* adapter = std::get_if<event::AdapterMade>(&what)) made = *adapter;
        });
    context.print(made.document);
    if (context.common.json || !context.speaks()) return;
    std::printf("trained %lld parameters (%.3f %% of the denoiser) with %.2f MB of optimizer state; on all %zu sites it would be %lld with %.2f MB\n%s\n",
                static_cast<long long>(made.parameters), 100 * static_cast<double>(made.parameters) / static_cast<double>(model.table.denoiser_parameters),
                static_cast<double>(made.optimizer_bytes) / 1e6, model.table.sites.size(), static_cast<long long>(made.all_sites),
                static_cast<double>(made.all_sites_optimizer_bytes) / 1e6, made.file.c_str());
  };
}

}  // namespace glyphscope::cli
