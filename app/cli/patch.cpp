#include "app/cli/cli.h"
#include "app/cli/plan_options.h"
#include "registry/families.h"

namespace glyphscope::cli {

Run add_patch(CLI::App& app) {
  struct Options {
    std::string model, source, target, out, method = "automatic", ocr = "ppocr", pooled = "source";
    PlanOptions plan{"Layers that see prompt B, for example 5,7-9"};
    SamplingOptions sampling;
    JudgeOptions judges;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("patch", "Makes prompt A's image while some layers see prompt B");
  verb->add_option("MODEL", options->model, kModelHelp)->required();
  verb->add_option("--source", options->source, "Prompt A")->required();
  verb->add_option("--target", options->target, "Prompt B")->required();
  options->plan.add(*verb)->required();
  verb->add_option("--method", options->method, "injection of prompt B, recording of its K and V, lockstep with a run of it, or automatic")
      ->capture_default_str();
  verb->add_option("--pooled", options->pooled,
                   "source or target: whose pooled prompt the patched image reads, where the model reads one (" +
                       names_of_families([](const auto&, const auto& one) { return one.reads_pooled_prompt; }) + ")")
      ->check(CLI::IsMember({"source", "target"}))
      ->capture_default_str();
  verb->add_option("--ocr", options->ocr, "ppocr or tesseract")->capture_default_str();
  verb->add_option("--out", options->out, "Folder for source.png, target.png, patched.png and patch.json")->required();
  options->judges.add(*verb);
  options->sampling.add(*verb);
  return [=](const Context& context) {
    parse_method(options->method);
    context.read_by(options->ocr);
    const auto model = context.open(options->model);
    command::Generate command{.source = options->source,
                              .target = options->target,
                              .sampling = options->sampling.sampling(context.common.seed),
                              .plan = options->plan.plan(model.table),
                              .pooled_target = options->pooled == "target",
                              .read = command::Generate::Read::must,
                              .folder = options->out,
                              .adapters = context.common.adapters,
                              .judges = options->judges.folders};
    command.sampling.method = options->method;
    context.note_learned(model, {quoted_text(options->source), quoted_text(options->target)});
    const auto ready = context.get<event::PicturesReady>(command);
    for (const auto& note : ready.notes) context.note(note);
    context.print(ready.document);
    if (context.common.json) return;
    for (const auto& [name, picture] : {std::pair("source", &ready.source), {"target", &ready.target}, {"patched", ready.patched.data()}})
      context.say(std::string(name) + ".png reads \"" + *picture->read + "\"");
    context.say("in " + options->out);
  };
}

}  // namespace glyphscope::cli
