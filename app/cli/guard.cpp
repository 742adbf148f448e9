#include <cstdio>

#include "app/cli/cli.h"
#include "demo/sign_words.h"
#include "demo/studies.h"
#include "editing/guard_study.h"
#include "io/files.h"
#include "io/image_file.h"
#include "io/resources.h"
#include "localization/prompt_set.h"

namespace glyphscope::cli {

namespace {

void verify(const Context& context, const std::string& file, const std::string& expected) {
  const AuditCheck check = check_audit_log(file, expected);
  context.print({{"schema", "glyphscope.audit-check/1"}, {"file", file}, {"lines", check.lines}, {"last", check.last}, {"fault", check.fault}});
  if (!check.fault.empty()) reject(check.fault, file + ", after line " + std::to_string(check.lines));
  if (!context.common.json) std::printf("%lld lines, each follows the one before; the last is %s\n", static_cast<long long>(check.lines), check.last.c_str());
}

}  // namespace

Run add_guard(CLI::App& app) {
  struct Options {
    std::vector<std::string> labels;
    std::string model, prompts, words, sites, out, log, expected, classifier, ocr = "ppocr";
    int from_step = 0, count = 112;
    bool clear_text = false;
    SamplingOptions sampling;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("guard", "Compares ways to keep listed words out of images; or verifies the log that a guard has written");
  auto* model = verb->add_option("MODEL", options->model, kModelHelp);
  verb->add_option("--words", options->words, "The list: a term a line, or TERM => REPLACEMENT (default: a few mild words)");
  verb->add_option("--prompts", options->prompts, "File of prompts that ask for listed words, one a line (default: some for each word)");
  verb->add_option("--count", options->count, "Prompts to make where --prompts is absent")->check(CLI::Range(1, 100000))->capture_default_str();
  verb->add_option("--sites", options->sites, "The layers that write the text, for example 5,7-9 (default: those of a demo model's study)");
  verb->add_option("--from-step", options->from_step, "First step at which they see the replaced prompt")->check(CLI::Range(0, 1000))->capture_default_str();
  auto* classifier = verb->add_option("--classifier", options->classifier,
                                      "Folder of a RobertaForSequenceClassification that says which texts are toxic (default: the list of words does)");
  verb->add_option("--classifier-labels", options->labels, "Its labels that are toxic ones (default: those named so)")->delimiter(',')->needs(classifier);
  verb->add_option("--ocr", options->ocr, "ppocr or tesseract")->capture_default_str();
  verb->add_flag("--clear-text", options->clear_text, "The log names prompts, terms and what was read, not their SHA-256");
  auto* out = verb->add_option("--out", options->out, "Folder for guard.json, guard.csv, samples.png and audit.jsonl");
  auto* log = verb->add_option("--verify-log", options->log, "Finds whether this log has been changed")->excludes(model)->excludes(out);
  verb->add_option("--expect-last", options->expected, "The log's last hash as it was told before: finds whether its end has been cut off")->needs(log);
  options->sampling.add(*verb);
  return [=](const Context& context) {
    if (!options->log.empty()) return verify(context, options->log, options->expected);
    if (options->model.empty() || options->out.empty()) reject("a comparison needs MODEL and --out", "guard", "Or pass --verify-log FILE");
    context.refuse_guard("The verb guard sets its own: use --words and --sites");
    const auto pipeline = context.open(options->model);
    const ModelInfo& info = pipeline->info();
    GuardStudySettings settings{
        {TermList::read(options->words.empty() ? resource("words/guard.txt") : std::filesystem::path(options->words)),
         options->sites.empty() ? studied_sites(info) : parse_sites(options->sites, info.table), options->from_step, "", options->clear_text},
        {},
        pipeline->resolve(options->sampling.request()),
        options->classifier.empty() ? nullptr : std::make_shared<TextClassifier>(options->classifier, options->labels),
        context.common.seed};
    settings.prompts =
        options->prompts.empty() ? term_prompts(info, settings.guard.terms, static_cast<size_t>(options->count)) : read_prompts(options->prompts);
    if (settings.guard.sites.empty()) context.say("note: no sites are known of this model: --sites names those that write the text");
    const std::shared_ptr<TextReader> reader = LoadingReader(options->ocr).get(context.cancel);
    const OutputFolder folder(options->out);
    settings.guard.log = folder / "audit.jsonl";
    const GuardStudy study = run_guard_study(
        *pipeline, settings, reader, [&](const Progress& p) { context.show(p); }, context.cancel);
    context.end_progress();
    auto document = describe_guard_study(study, settings, info, reader);
    document["audit_last"] = AuditLog(settings.guard.log).last();
    write_json(folder / "guard.json", document);
    write_text(folder / "guard.csv", study.csv());
    write_png(folder / "samples.png", study.sheet, document);
    context.print(document);
    if (context.common.json) return;
    for (const auto& note : study.notes) context.say("note: " + note);
    std::printf(
        "%s\n%zu prompts; 95 %% intervals over words and noises; passes and seconds of an image; a term is readable if OCR and the list find it%s%s\n%s\n",
        study.table().c_str(), settings.prompts.size(), study.classifier.empty() ? "" : "; toxic by ", study.classifier.c_str(),
        (folder / "samples.png").c_str());
  };
}

}  // namespace glyphscope::cli
