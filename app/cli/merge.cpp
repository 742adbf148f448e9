#include <cstdio>

#include "app/cli/cli.h"
#include "experiments/merge.h"

namespace glyphscope::cli {

Run add_merge(CLI::App& app) {
  struct Options {
    std::vector<std::string> runs;
    std::string out;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("merge", "Joins the folders that shards of a run have filled (localize --shard), and concludes from what is answered");
  verb->add_option("DIR", options->runs, "Folders of the shards")->required();
  verb->add_option("--out", options->out, "Folder of the merged run; it may be one of them, or hold a part of it")->required();
  return [=](const Context& context) {
    context.refuse_guard("What is merged is drawn already");
    const MergedRun merged = merge({options->runs.begin(), options->runs.end()}, options->out);
    if (context.common.json)
      return context.print(
          nlohmann::ordered_json{{"schema", "glyphscope.merge/1"}, {"missing", merged.missing}, {"written", merged.written}, {"next", merged.next}});
    constexpr size_t kShown = 20;
    for (size_t i = 0; i < std::min(kShown, merged.missing.size()); ++i) std::printf("missing: %s\n", merged.missing[i].c_str());
    if (merged.missing.size() > kShown) std::printf("and %zu more; --json lists all\n", merged.missing.size() - kShown);
    if (!merged.missing.empty()) std::printf("%zu cells are missing: run their shards, and merge again\n", merged.missing.size());
    if (!merged.next.empty())
      std::printf("every cell that was asked for is there; the run goes on with '%s': repeat the command that began it, or its shards, with --out %s\n",
                  merged.next.c_str(), options->out.c_str());
    for (const auto& file : merged.written) std::printf("%s\n", (std::filesystem::path(options->out) / file).c_str());
  };
}

}  // namespace glyphscope::cli
