#include <cstdio>

#include "adapt/lora_file.h"
#include "app/cli/cli.h"
#include "app/cli/wording.h"
#include "io/files.h"

namespace glyphscope::cli {

Run add_convert_adapter(CLI::App& app) {
  struct Options {
    std::string model, adapter, format, out;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("convert-adapter", "Rewrites an adapter in another program's format, and tells what it changes");
  verb->add_option("MODEL", options->model, kModelHelp)->required();
  verb->add_option("ADAPTER", options->adapter, "An adapter of it (.safetensors, or PEFT's folder)")->required();
  verb->add_option("--format", options->format, "diffusers, kohya or lycoris (LyCORIS' names for diffusers' layers, which hold any method)")->required();
  verb->add_option("--out", options->out, "File to write (.safetensors)")->required();
  return [=](const Context& context) {
    parse_lora_format(options->format);
    check_output_file(options->out, ".safetensors", {options->adapter});
    const auto model = context.open(options->model);
    std::vector<std::string> notes;
    event::AdapterConverted made;
    context.run(command::ConvertAdapter{options->adapter, options->format, options->out}, [&](const event::Any& what) {
      if (const auto* noted = std::get_if<event::Noted>(&what)) notes.push_back(in_words(noted->text));
      if (const auto* converted = std::get_if<event::AdapterConverted>(&what)) made = *converted;
    });
    context.print({{"schema", "glyphscope.convert-adapter/1"},
                   {"model", model.source},
                   {"adapter", options->adapter},
                   {"format", options->format},
                   {"layers", made.layers},
                   {"sites", made.sites},
                   {"ranks", made.ranks},
                   {"parameters", made.parameters},
                   {"notes", notes},
                   {"sha256", made.sha256}});
    if (context.common.json) return;
    std::string list;
    for (const auto rank : made.ranks) list += (list.empty() ? "" : ", ") + std::to_string(rank);
    std::printf("%zu layers of rank %s, at %zu of %zu sites; %lld parameters\n%s\n", made.layers, list.c_str(), made.sites.size(), model.table.sites.size(),
                static_cast<long long>(made.parameters), options->out.c_str());
  };
}

}  // namespace glyphscope::cli
