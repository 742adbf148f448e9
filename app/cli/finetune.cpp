#include "adapt/finetune.h"

#include <cstdio>

#include "app/cli/cli.h"
#include "core/random.h"
#include "demo/sign_words.h"
#include "io/files.h"
#include "patching/patch_plan.h"

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

}  // namespace

Run add_finetune(CLI::App& app) {
  struct Options {
    std::string model, data, sites, out, sample_prompts, ocr = "ppocr", init = "gaussian", schedule = "constant";
    std::vector<std::string> ranks;
    bool resume = false;
    FinetuneSettings settings;
  };
  auto options = std::make_shared<Options>();
  FinetuneSettings& settings = options->settings;
  CLI::App* verb = app.add_subcommand("finetune", "Trains a LoRA adapter on chosen layers");
  verb->add_option("MODEL", options->model, kModelHelp)->required();
  verb->add_option("--data", options->data, "Folder of pictures with captions: metadata.jsonl, or a .txt beside each picture")->required();
  auto* sites = verb->add_option("--sites", options->sites, "Layers that get an adapter, for example 5,7-9");
  verb->add_flag("--every-attention", settings.plan.every_attention, "All attention layers get one, those that read no prompt too")->excludes(sites);
  verb->add_option("--projections", settings.plan.projections,
                   "Of each layer: to_q,to_k,to_v,to_out.0, add_q_proj,add_k_proj,add_v_proj,to_add_out; kv: those that make the prompt's K and V")
      ->delimiter(',')
      ->capture_default_str();
  verb->add_option("--rank", settings.plan.rank, "Rank of the adapter")->check(CLI::Range(1, 4096))->capture_default_str();
  verb->add_option("--ranks", options->ranks, "Ranks of single sites, as SITE:RANK")->delimiter(',');
  verb->add_option("--alpha", settings.plan.alpha, "The adapter counts alpha / rank times (default: the rank)")->check(CLI::PositiveNumber);
  verb->add_option("--init", options->init, "gaussian (the paper's) or kaiming (PEFT's default)")
      ->check(CLI::IsMember({"gaussian", "kaiming"}))
      ->capture_default_str();
  verb->add_option("--steps", settings.steps, "Steps of the optimizer")->check(CLI::Range(1, 10'000'000))->capture_default_str();
  verb->add_option("--batch", settings.batch, "Pictures at once")->check(CLI::Range(1, 4096))->capture_default_str();
  verb->add_option("--accumulate", settings.accumulate, "Batches a step")->check(CLI::Range(1, 4096))->capture_default_str();
  verb->add_option("--resolution", settings.resolution, "Pixels a side of a square picture; others keep their aspect (default: the model's)")
      ->check(CLI::Range(8, 8192));
  verb->add_option("--rate", settings.rate, "Learning rate")->check(CLI::PositiveNumber)->capture_default_str();
  verb->add_option("--schedule", options->schedule, "constant, linear or cosine")->capture_default_str();
  verb->add_option("--warmup", settings.warmup, "Steps over which the rate rises")->check(CLI::Range(0, 10'000'000))->capture_default_str();
  verb->add_option("--weight-decay", settings.weight_decay, "AdamW's")->check(CLI::NonNegativeNumber)->capture_default_str();
  verb->add_option("--clip", settings.clip_norm, "Largest norm of the gradient")->check(CLI::PositiveNumber)->capture_default_str();
  verb->add_option("--dropout", settings.dropout, "Share of what the adapter reads that is left out")->check(CLI::Range(0.0, 0.9))->capture_default_str();
  verb->add_option("--caption-dropout", settings.caption_dropout, "Share of the captions that are left out")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  verb->add_option("--snr-gamma", settings.snr_gamma, "Weighs timesteps by min(SNR, gamma) (default: all alike)")->check(CLI::PositiveNumber);
  verb->add_flag("--gradient-checkpointing", settings.checkpointing, "Less memory for more time: blocks are computed again on the way back");
  verb->add_option("--held-out", settings.held_out, "Share of the pictures that is not learned from")->check(CLI::Range(0.0, 0.9))->capture_default_str();
  verb->add_option("--evaluate-every", settings.evaluate_every, "Steps between two losses on held-out pictures")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  verb->add_option("--save-every", settings.save_every, "Steps between two checkpoints")->check(CLI::Range(1, 1'000'000))->capture_default_str();
  verb->add_option("--sample-every", settings.sample_every, "Steps between two sets of sample pictures, with their OCR scores; 0: none are drawn")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  verb->add_option("--sample-prompts", options->sample_prompts,
                   "File of their prompts, one a line: those with text in double quotes show how well it is written, those without how far the model "
                   "has drifted (default: some of each)");
  verb->add_option("--sample-steps", settings.sampling.steps, "Denoising steps of samples (default: the model's)")->check(CLI::Range(1, 1000));
  verb->add_option("--ocr", options->ocr, "ppocr or tesseract")->capture_default_str();
  verb->add_flag("--resume", options->resume, "Go on with the training that is in --out");
  verb->add_option("--out", options->out, "Folder for last.safetensors, best.safetensors, training.csv and samples")->required();
  return [=](const Context& context) {
    FinetuneSettings settings = options->settings;
    settings.seed = context.common.seed;
    settings.schedule = parse_rate_schedule(options->schedule);
    settings.plan.init = options->init == "gaussian" ? LoraInit::gaussian : LoraInit::kaiming;
    settings.plan.ranks = parse_ranks(options->ranks);
    if (options->sites.empty() && !settings.plan.every_attention) reject("no layer is named", "--sites", "Name sites, for example those that localize found");
    if (!context.common.adapters.empty()) reject("an adapter is trained on the model as it is", "--adapter");
    const PictureSet pictures = read_picture_set(options->data, settings.held_out);
    for (const auto& fault : pictures.faults) context.say("left out: " + fault);
    const auto pipeline = context.open(options->model);
    const SiteTable& table = pipeline->info().table;
    if (!options->sites.empty()) settings.plan.sites = parse_sites(options->sites, table);
    for (const auto& [site, rank] : settings.plan.ranks)
      if (std::find(settings.plan.sites.begin(), settings.plan.sites.end(), site) == settings.plan.sites.end() && !settings.plan.every_attention)
        reject("--ranks names site " + std::to_string(site) + ", --sites does not", "--ranks");
    if (settings.sample_every > 0) settings.sample_prompts = sample_prompts(pipeline->info(), options->sample_prompts);
    const auto reader = make_text_reader(options->ocr);
    const OutputFolder folder(options->out);
    context.say(std::to_string(pictures.train.size()) + " pictures to learn from, " + std::to_string(pictures.held_out.size()) + " held out");

    FinetuneObserver observer;
    observer.preparing = [&](const Progress& p) { context.show(p); };
    observer.note = [&](const std::string& note) { context.say("note: " + note); };
    observer.step = [&](const FinetuneProgress& p) {
      context.end_progress();
      char line[160];
      int length = std::snprintf(line, sizeof line, "step %lld/%lld", static_cast<long long>(p.step), static_cast<long long>(p.steps));
      const auto add = [&](const char* format, double value) {
        length += std::snprintf(line + length, sizeof line - static_cast<size_t>(length), format, value);
      };
      if (p.loss) add("  loss %.4f", *p.loss);
      if (p.held_out) add("  held out %.4f", *p.held_out);
      if (p.loss) add("  %.1f pictures/s", p.pictures_per_second);
      context.say(line);
    };
    observer.samples = [&](std::int64_t step, const TrainingSamples::Scores& scores) {
      context.end_progress();
      std::string line = "samples at step " + std::to_string(step) + ":";
      const auto add = [&](const char* name, const std::optional<double>& value) {
        char text[64];
        if (value) line += (std::snprintf(text, sizeof text, "  %s %.2f", name, *value), text);
      };
      add("words exact", scores.word_accuracy);
      add("F1", scores.ocr_f1);
      add("SSIM to the base model", scores.ssim_to_base);
      context.say(line);
    };
    const FinetuneResult result = finetune(*pipeline, pictures, settings, folder.path(), options->resume, *reader, observer, context.cancel);

    // What it would have been on every site: the share that localization saves.
    LoraPlan everywhere = settings.plan;
    everywhere.every_attention = false;
    everywhere.ranks.clear();
    everywhere.sites.clear();
    for (const auto& site : table.sites) everywhere.sites.push_back(site.index);
    const std::int64_t all = make_lora(pipeline->denoiser_module(), table, everywhere, make_generator(0)).parameters();
    nlohmann::ordered_json document{
        {"schema", "glyphscope.finetune/1"},
        {"model", pipeline->info().source},
        {"model_hash", pipeline->info().hash},
        {"settings", settings.to_json()},
        {"steps", settings.steps},
        {"trained_parameters", result.trained},
        {"trained_parameters_all_sites", all},
        {"optimizer_bytes", result.optimizer_bytes},
        {"samples", {{"prompts", settings.sample_prompts}, {"every", settings.sample_every}, {"ocr", reader->name()}}},
        {"best_held_out_loss", result.best_held_out ? nlohmann::ordered_json(*result.best_held_out) : nlohmann::ordered_json(nullptr)},
        {"faults", pictures.faults}};
    write_json(folder / "finetune.json", document);
    context.print(document);
    if (context.common.json) return;
    std::printf("trained %lld parameters (%.3f %% of the denoiser; on all %zu sites it would be %lld), %.2f MB of optimizer state\n%s\n",
                static_cast<long long>(result.trained), 100 * static_cast<double>(result.trained) / static_cast<double>(table.denoiser_parameters),
                table.sites.size(), static_cast<long long>(all), static_cast<double>(result.optimizer_bytes) / 1e6, (folder / "last.safetensors").c_str());
  };
}

}  // namespace glyphscope::cli
