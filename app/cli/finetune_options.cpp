#include "app/cli/finetune_options.h"

#include <algorithm>

#include "registry/families.h"

namespace glyphscope::cli {

void FinetuneOptions::add(CLI::App& verb) {
  verb.add_option("--data", data_, "Folder of pictures with captions: metadata.jsonl, metadata.csv, or a .txt or .caption beside each picture")->required();
  verb.add_option(
          "--projections", settings_.plan.projections,
          "Of each layer: to_q,to_k,to_v,to_out.0, add_q_proj,add_k_proj,add_v_proj,to_add_out; kv: those that make the prompt's K and V, which are what "
          "is patched at a site; paper: the first four; auto: kv where the prompt has projections of its own (" +
              names_of_families([](const auto&, const auto& one) { return one.projects_prompt_by_itself; }) + "), else paper")
      ->delimiter(',')
      ->capture_default_str();
  verb.add_option("--method", method_, "lora; dora, which learns the length of each row too; loha or lokr, LyCORIS' products of products")
      ->check(CLI::IsMember(adapter_method_names()))
      ->capture_default_str();
  verb.add_option("--rank", settings_.plan.rank, "Rank of the adapter")->check(CLI::Range(1, 4096))->capture_default_str();
  verb.add_option("--alpha", settings_.plan.alpha, "The adapter counts alpha / rank times (default: the rank)")->check(CLI::PositiveNumber);
  verb.add_option("--init", init_, "Of lora and dora: gaussian (the paper's) or kaiming (PEFT's default)")
      ->check(CLI::IsMember({"gaussian", "kaiming"}))
      ->capture_default_str();
  verb.add_option("--steps", settings_.steps, "Steps of the optimizer")->check(CLI::Range(1, 10'000'000))->capture_default_str();
  verb.add_option("--batch", settings_.batch, "Pictures at once")->check(CLI::Range(1, 4096))->capture_default_str();
  verb.add_option("--accumulate", settings_.accumulate, "Batches a step")->check(CLI::Range(1, 4096))->capture_default_str();
  verb.add_option("--resolution", settings_.resolution, "Pixels a side of a square picture; others keep their aspect (default: the model's)")
      ->check(CLI::Range(8, 8192));
  verb.add_option("--rate", settings_.rate, "Learning rate")->check(CLI::PositiveNumber)->capture_default_str();
  verb.add_option("--schedule", schedule_, "constant, linear or cosine")->capture_default_str();
  verb.add_option("--warmup", settings_.warmup, "Steps over which the rate rises")->check(CLI::Range(0, 10'000'000))->capture_default_str();
  verb.add_option("--weight-decay", settings_.weight_decay, "AdamW's")->check(CLI::NonNegativeNumber)->capture_default_str();
  verb.add_option("--clip-norm", settings_.clip_norm, "Largest norm of the gradient")->check(CLI::PositiveNumber)->capture_default_str();
  verb.add_option("--dropout", settings_.dropout, "Share of what the adapter reads that is left out")->check(CLI::Range(0.0, 0.9))->capture_default_str();
  verb.add_option("--caption-dropout", settings_.caption_dropout, "Share of the captions that are left out")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  verb.add_option("--snr-gamma", settings_.snr_gamma, "Weighs timesteps by min(SNR, gamma) (default: all alike)")->check(CLI::PositiveNumber);
  verb.add_flag("--gradient-checkpointing", settings_.checkpointing, "Less memory for more time: blocks are computed again on the way back");
  verb.add_option("--held-out", settings_.held_out, "Share of the pictures that is not learned from")->check(CLI::Range(0.0, 0.9))->capture_default_str();
  verb.add_option("--evaluate-every", settings_.evaluate_every, "Steps between two losses on held-out pictures, of which 64 are enough")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  verb.add_option("--cache", settings_.cache, "Folder for encoded pictures and captions, which trainings may share (default: in --out)");
  verb.add_option("--sample-steps", settings_.sample_steps, "Denoising steps of samples (default: the model's)")->check(CLI::Range(1, 1000));
}

FinetuneSettings FinetuneOptions::settings(const Context& context) const {
  if (!context.common.adapters.empty()) reject("an adapter is trained on the model as it is", "--adapter");
  FinetuneSettings out = settings_;
  out.seed = context.common.seed;
  out.schedule = parse_rate_schedule(schedule_);
  out.plan.method = parse_adapter_method(method_);
  out.plan.init = init_ == "gaussian" ? LoraInit::gaussian : LoraInit::kaiming;
  return out;
}

void FinetuneOptions::read_pictures(const Context& context, const FinetuneSettings& settings) const {
  const auto listed = context.get<event::PicturesListed>(command::ReadPictures{data_, settings.held_out});
  for (const auto& note : listed.notes) context.say("note: " + note);
  for (const auto& fault : listed.faults) context.say("left out: " + fault);
  const auto held_out = std::count_if(listed.pictures.begin(), listed.pictures.end(), [](const auto& one) { return one.held_out; });
  context.say(std::to_string(static_cast<std::int64_t>(listed.pictures.size()) - held_out) + " pictures to learn from, " + std::to_string(held_out) +
              " held out" + (listed.faults.empty() ? "" : ", " + std::to_string(listed.faults.size()) + " left out"));
}

}  // namespace glyphscope::cli
