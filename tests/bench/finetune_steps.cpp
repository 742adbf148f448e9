// Steps of training an adapter of a denoiser, for tests/bench/finetune_bench.py: how long each takes, and how much memory.
// Usage: glyphscope_finetune_steps FOLDER fp32|bf16 SITES RANK plain|checkpointing INPUTS.safetensors [cuda]
// Prints a line of JSON when it is ready, takes a step for each line that it is sent, and prints one of JSON for it: whoever sends them can let two
// programs take turns.
// FOLDER: of a denoiser alone. SITES: "5,7-9", "sites" (all that read the prompt) or "attention" (those that read none too). INPUTS: sample,
// timestep, embedding and, where the model reads them, pooled and time_ids; `target`, what it is to say.
#include <torch/types.h>

#include <chrono>
#include <cstdio>
#include <iostream>

#include "adapt/lora.h"
#include "adapt/new_lora.h"
#include "adapt/prompt_kv_cache.h"
#include "adapt/training_state.h"
#include "core/error.h"
#include "core/memory.h"
#include "core/random.h"
#include "io/safetensors.h"
#include "models/block.h"
#include "patching/patch_plan.h"
#include "tests/support/any_denoiser.h"
#include "tests/support/process_memory.h"

using namespace glyphscope;  // NOLINT(google-build-using-namespace)

namespace {
using testing::AnyDenoiser;
using testing::process_bytes;

void say(const nlohmann::json& line) { std::cout << line.dump() << std::endl; }

int run(const std::filesystem::path& folder, const std::string& dtype_name, const std::string& sites, int rank, bool checkpoints,
        const std::filesystem::path& in, torch::Device device) {
  const auto dtype = dtype_name == "bf16" ? torch::kBFloat16 : torch::kFloat32;
  const AnyDenoiser denoiser = AnyDenoiser::open(folder, dtype, device);
  double sum = 0;  // Pages of a mapped file count once they are touched.
  for (const auto& parameter : denoiser.module->parameters()) sum += parameter.sum().item<double>();
  LoraPlan plan{.every_attention = sites == "attention", .rank = rank};
  if (sites == "sites")
    for (const auto& site : denoiser.table.sites) plan.sites.push_back(site.index);
  else if (!plan.every_attention)
    plan.sites = parse_sites(sites, denoiser.table);
  Lora lora = make_lora(*denoiser.module, denoiser.table, plan, make_generator(1));
  for (auto& [path, layer] : lora.layers) layer.a = layer.a.to(device), layer.b = layer.b.to(device);
  LoraModule module(lora);
  TrainingState state({{"lora", &module}},
                      {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01, .clip_norm = 1.0, .ema_decay = 0, .dtype = torch::kFloat32});
  const AttachedLora attached(*denoiser.module, lora);
  const GradientCheckpointing checkpointing(checkpoints);

  const SafetensorsFile inputs(in);
  const auto input = [&](const char* name) { return inputs.entries().contains(name) ? inputs.tensor(name).to(device, dtype) : torch::Tensor(); };
  const Conditioning conditioning{.embedding = input("embedding"), .pooled = input("pooled"), .sizes = input("time_ids")};
  const torch::Tensor sample = input("sample"), timestep = inputs.tensor("timestep").to(device), target = inputs.tensor("target").to(device, torch::kFloat32);
  // As the trainer does, where K and V depend on the prompt alone.
  PromptKvCache kept_kv(denoiser.table, lora);
  std::vector<std::string> captions;
  for (std::int64_t row = 0; row < sample.size(0); ++row) captions.push_back(std::to_string(row));
  kept_kv.set_rows(captions);
  Taps* taps = denoiser.joint ? nullptr : &kept_kv;
  std::vector<std::string> paths;
  for (const auto& [path, layer] : lora.layers) paths.push_back(path);
  say({{"layers", paths}, {"trained", lora.parameters()}, {"optimizer_bytes", state.bytes()}, {"checksum", sum}});
  testing::forget_peak();
  const std::int64_t held = process_bytes("VmRSS");
  for (std::string line; std::getline(std::cin, line);) {
    const auto start = std::chrono::steady_clock::now();
    const torch::Tensor loss = (denoiser.forward(sample, timestep, conditioning, taps).to(torch::kFloat32) - target).pow(2).mean();
    loss.backward();
    state.update(1e-4);
    const double value = loss.item<double>();
    say({{"seconds", std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()},
         {"loss", value},
         {"step_bytes", process_bytes("VmHWM") - held},
         {"peak_bytes", process_bytes("VmHWM")}});
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7 && argc != 8) {
    std::fprintf(stderr, "usage: %s FOLDER fp32|bf16 SITES RANK plain|checkpointing INPUTS.safetensors [cuda]\n", argv[0]);
    return 2;
  }
  set_up_memory();  // as the program does
  try {
    return run(argv[1], argv[2], argv[3], std::atoi(argv[4]), std::string(argv[5]) == "checkpointing", argv[6], torch::Device(argc == 8 ? argv[7] : "cpu"));
  } catch (const Failure& failure) {
    std::fprintf(stderr, "%s\n", failure.error().message().c_str());
    return 2;
  }
}
