#include <cstdio>

#include "app/cli/cli.h"

namespace glyphscope::cli {

Run add_inspect(CLI::App& app) {
  auto model = std::make_shared<std::string>();
  CLI::App* verb = app.add_subcommand("inspect", "Shows a model's family, parameters, and every layer that reads the prompt");
  verb->add_option("MODEL", *model, kModelHelp)->required();
  return [=](const Context& context) {
    const auto opened = context.open(*model);
    const auto pipeline = context.pipeline();
    const ModelInfo& info = pipeline->info();
    nlohmann::ordered_json components, sites = nlohmann::ordered_json::array();
    for (const auto& [name, count] : info.parameters) components[name] = count;
    for (const auto& site : info.table.sites) sites.push_back(describe_site(info.table, site.index));
    context.print({{"schema", "glyphscope.inspect/1"},
                   {"model", info.source},
                   {"family", info.family},
                   {"hash", info.hash},
                   {"dtype", info.dtype},
                   {"device", info.device},
                   {"scheduler", info.scheduler},
                   {"schedulers", info.schedulers},
                   {"width", info.default_width},
                   {"height", info.default_height},
                   {"upscaler", info.upscaler ? nlohmann::ordered_json(info.upscaler->source) : nlohmann::ordered_json(nullptr)},
                   {"parameters", components},
                   {"weight_bytes", opened.bytes},
                   {"denoiser_parameters", info.table.denoiser_parameters},
                   {"sites", sites}});
    if (context.common.json) return;
    std::printf("%s\n  family     %s\n  hash       %s\n  image      %lld x %lld, scheduler %s\n", info.source.c_str(), info.family.c_str(),
                info.hash.text().substr(0, 16).c_str(), static_cast<long long>(info.default_width), static_cast<long long>(info.default_height),
                info.scheduler.c_str());
    std::string schedulers;
    for (const auto& name : info.schedulers) schedulers += " " + name;
    std::printf("  others    %s\n", schedulers.c_str());
    if (const auto& second = info.upscaler)
      std::printf("  upscaler   %s, to %lld x %lld, not patched\n", second->source.c_str(), static_cast<long long>(second->default_width),
                  static_cast<long long>(second->default_height));
    for (const auto& [name, count] : info.parameters) std::printf("  %-10s %.2f M parameters\n", name.c_str(), static_cast<double>(count) / 1e6);
    std::printf("  weights    %.2f GB in %s\n", static_cast<double>(opened.bytes) / 1e9, info.dtype.c_str());
    std::printf("  device     %s%s\n", info.device_label.c_str(), info.why_device.empty() ? "" : (" (" + info.why_device + ")").c_str());
    std::printf("\n  site  block   heads  K+V parameters  share    path, and kohya's name\n");
    for (const auto& site : info.table.sites)
      std::printf("  %4d  %-6s  %5d  %14lld  %5.2f %%  %s  %s\n", site.index, site.block.c_str(), site.heads, static_cast<long long>(site.kv_parameters),
                  100 * info.table.share({site.index}), site.path.c_str(), site.kohya.c_str());
  };
}

}  // namespace glyphscope::cli
