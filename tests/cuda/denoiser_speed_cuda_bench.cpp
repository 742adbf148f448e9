// A denoiser on a device, for tests/cuda/speed.py, which puts diffusers beside it in turns.
// Usage: glyphscope_cuda_speed FOLDER fp32|bf16 DEVICE INPUTS.safetensors
// FOLDER: of a denoiser. INPUTS: one row each of sample, timestep, embedding, other_embedding and, where the model reads them, pooled and time_ids. Each line
// of the input is a command, each answer a line of JSON:
//   output              one call; writes its result to INPUTS with ".output" after it
//   call ROWS TIMES     that many calls of that many rows: seconds of one, and the most memory that tensors took, in bytes
//   stream SHARE        from now on so many percent of the blocks' weights stay on the device; the others are copied there as they compute
//   localize STEPS ROWS every site alone reads the other prompt, that many rows at once, each with its unconditional half, and beside them both prompts' own
//                       pictures; the halves are guided and the latent is stepped on as in a picture's drawing: seconds, sites
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/types.h>

#include <chrono>
#include <cstdio>
#include <iostream>
#include <optional>
#include <sstream>

#include "core/error.h"
#include "device/devices.h"
#include "io/safetensors.h"
#include "models/block_stream.h"
#include "patching/prompt_taps.h"
#include "tests/support/any_denoiser.h"

using namespace glyphscope;  // NOLINT(google-build-using-namespace)

namespace {
using testing::AnyDenoiser;

class Speed {
 public:
  Speed(const std::filesystem::path& folder, torch::ScalarType dtype, torch::Device device, std::filesystem::path inputs)
      : device_(device), dtype_(dtype), inputs_(std::move(inputs)), denoiser_(AnyDenoiser::open(folder, dtype, device)) {
    const SafetensorsFile file(inputs_);
    const auto read = [&](const char* name, torch::ScalarType to) {
      return file.entries().contains(name) ? file.tensor(name).to(device_, to) : torch::Tensor();
    };
    sample_ = read("sample", dtype);
    timestep_ = read("timestep", torch::kFloat32);
    embedding_ = read("embedding", dtype);
    other_ = read("other_embedding", dtype);
    pooled_ = read("pooled", dtype);
    sizes_ = read("time_ids", torch::kFloat32);
  }

  nlohmann::json answer(const std::string& command, std::int64_t first, std::int64_t second) {
    forget_peak_memory(device_);
    if (command == "stream")
      return stream_.emplace(*denoiser_.module, device_, static_cast<double>(first) / 100), nlohmann::json{{"blocks", stream_->blocks()}};
    nlohmann::json out = command == "output" ? output() : command == "call" ? call(first, second) : localize(first, second);
    out["peak_bytes"] = peak_memory(device_);
    return out;
  }

 private:
  static torch::Tensor rows(const torch::Tensor& one, std::int64_t count) {
    if (!one.defined()) return one;
    std::vector<std::int64_t> times(static_cast<size_t>(one.dim()), 1);
    times[0] = count;
    return one.repeat(times);
  }
  Conditioning conditioning(std::int64_t count) const {
    return {.embedding = rows(embedding_, count), .pooled = rows(pooled_, count), .sizes = rows(sizes_, count)};
  }
  void wait() const {
    if (!device_.is_cpu()) c10::impl::VirtualGuardImpl(device_.type()).synchronizeDevice(device_.index());
  }
  double timed(const std::function<void()>& work) const {
    wait();
    const auto start = std::chrono::steady_clock::now();
    work();
    wait();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  nlohmann::json output() {
    const torch::Tensor result = denoiser_.forward(sample_, timestep_, conditioning(1), nullptr);
    write_safetensors(inputs_.string() + ".output", {{"output", result.to(torch::kCPU, torch::kFloat32).contiguous()}});
    return nlohmann::json::object();
  }

  nlohmann::json call(std::int64_t count, std::int64_t times) {
    const Conditioning all = conditioning(count);
    const torch::Tensor x = rows(sample_, count), t = rows(timestep_, count);
    const double seconds = timed([&] {
      for (std::int64_t i = 0; i < times; ++i) denoiser_.forward(x, t, all, nullptr);
    });
    return {{"seconds", seconds / static_cast<double>(times)}};
  }

  nlohmann::json localize(std::int64_t steps, std::int64_t at_once) {
    const auto sites = static_cast<std::int64_t>(denoiser_.table.sites.size());
    std::vector<PatchPlan> plans(2);  // both prompts' own pictures
    for (int site = 0; site < sites; ++site) plans.push_back(PatchPlan::at_sites({site}, 1, 0));
    const double seconds = timed([&] {
      for (size_t begin = 0; begin < plans.size(); begin += static_cast<size_t>(at_once)) {
        const size_t end = std::min(plans.size(), begin + static_cast<size_t>(at_once));
        const auto count = static_cast<std::int64_t>(end - begin);
        // The unconditional halves read the third prompt.
        std::vector<PromptTaps::Row> rows_of(static_cast<size_t>(count), {2, nullptr});
        for (size_t i = begin; i < end; ++i) rows_of.push_back({i == 1 ? 1 : 0, &plans[i]});
        PromptTaps taps(denoiser_.table, {{embedding_, {}}, {other_, {}}, {torch::zeros_like(embedding_), {}}}, rows_of, {});
        const Conditioning all = conditioning(2 * count);
        torch::Tensor latent = rows(sample_, count).to(torch::kFloat32);
        for (std::int64_t step = 0; step < steps; ++step) {
          taps.begin_step(static_cast<int>(step));
          const auto halves = denoiser_.forward(rows(latent, 2).to(dtype_), rows(timestep_, 2 * count), all, &taps).to(torch::kFloat32).chunk(2);
          latent = latent - (halves[0] + 7.5 * (halves[1] - halves[0])) / static_cast<double>(steps);
        }
      }
    });
    return {{"seconds", seconds}, {"sites", sites}};
  }

  torch::Device device_;
  torch::ScalarType dtype_;
  std::filesystem::path inputs_;
  AnyDenoiser denoiser_;
  std::optional<BlockStream> stream_;
  torch::Tensor sample_, timestep_, embedding_, other_, pooled_, sizes_;
};

int run(char** argv) {
  const auto dtype = std::string(argv[2]) == "bf16" ? torch::kBFloat16 : torch::kFloat32;
  torch::Device device(argv[3]);
  if (!device.is_cpu() && !device.has_index()) device.set_index(0);
  Speed speed(argv[1], dtype, device, argv[4]);
  const torch::InferenceMode inference;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string command;
    std::int64_t first = 1, second = 1;
    words >> command >> first >> second;
    std::cout << speed.answer(command, first, second).dump() << std::endl;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: %s FOLDER fp32|bf16 DEVICE INPUTS.safetensors\n", argv[0]);
    return 2;
  }
  try {
    return run(argv);
  } catch (const Failure& failure) {
    std::fprintf(stderr, "%s\n", failure.error().message().c_str());
    return 2;
  }
}
