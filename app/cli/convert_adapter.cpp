#include <cstdio>
#include <set>

#include "adapt/lora_file.h"
#include "app/cli/cli.h"
#include "io/files.h"
#include "io/weights.h"

namespace glyphscope::cli {

Run add_convert_adapter(CLI::App& app) {
  struct Options {
    std::string model, adapter, format, out;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("convert-adapter", "Rewrites a LoRA in another program's format, and tells what it changes");
  verb->add_option("MODEL", options->model, kModelHelp)->required();
  verb->add_option("ADAPTER", options->adapter, "A LoRA for its denoiser (.safetensors of diffusers, PEFT or kohya)")->required();
  verb->add_option("--format", options->format, "diffusers or kohya")->required();
  verb->add_option("--out", options->out, "File to write (.safetensors)")->required();
  return [=](const Context& context) {
    const LoraFormat format = parse_lora_format(options->format);
    check_output_file(options->out, ".safetensors", {options->adapter});
    const auto pipeline = context.open(options->model);
    const SiteTable& table = pipeline->info().table;
    std::vector<std::string> notes;
    const Lora lora = read_lora(options->adapter, pipeline->denoiser_module(), table, notes);
    for (const auto& note : notes) context.say("note: " + note);
    write_lora(options->out, lora, format, pipeline->denoiser_module(), table);

    std::set<std::int64_t> ranks;
    for (const auto& [path, layer] : lora.layers) ranks.insert(layer.rank());
    std::vector<int> sites;
    for (const auto& site : table.sites)
      if (const auto first = lora.layers.lower_bound(site.path + "."); first != lora.layers.end() && first->first.starts_with(site.path + "."))
        sites.push_back(site.index);
    context.print({{"schema", "glyphscope.convert-adapter/1"},
                   {"model", pipeline->info().source},
                   {"adapter", options->adapter},
                   {"format", options->format},
                   {"layers", lora.layers.size()},
                   {"sites", sites},
                   {"ranks", ranks},
                   {"parameters", lora.parameters()},
                   {"notes", notes},
                   {"sha256", sha256_file(options->out)}});
    if (context.common.json) return;
    std::string list;
    for (const auto rank : ranks) list += (list.empty() ? "" : ", ") + std::to_string(rank);
    std::printf("%zu layers of rank %s, at %zu of %zu sites; %lld parameters\n%s\n", lora.layers.size(), list.c_str(), sites.size(), table.sites.size(),
                static_cast<long long>(lora.parameters()), options->out.c_str());
  };
}

}  // namespace glyphscope::cli
