#include <cstdio>

#include "app/cli/cli.h"
#include "editing/audit_log.h"
#include "experiments/prompt_set.h"
#include "io/files.h"
#include "io/resources.h"
#include "io/text_file.h"

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
  verb->add_option("--expect-last", options->expected, "The log's last hash as it was printed before: finds whether its end has been cut off")->needs(log);
  options->sampling.add(*verb);
  return [=](const Context& context) {
    if (!options->log.empty()) return verify(context, options->log, options->expected);
    if (options->model.empty() || options->out.empty()) reject("a comparison needs MODEL and --out", "guard", "Or pass --verify-log FILE");
    context.refuse_guard("The verb guard sets its own: use --words and --sites");
    context.read_by(options->ocr);
    const auto model = context.open(options->model);
    const auto words = options->words.empty() ? resource("words/guard.txt") : std::filesystem::path(options->words);
    command::CompareGuard command{.words = read_text_file(words),
                                  .prompts = options->prompts.empty() ? std::vector<std::string>() : read_prompts(options->prompts),
                                  .count = static_cast<size_t>(options->count),
                                  .sampling = options->sampling.sampling(context.common.seed),
                                  .sites = options->sites.empty() ? model.studied : parse_sites(options->sites, model.table),
                                  .from_step = options->from_step,
                                  .classifier = options->classifier,
                                  .labels = options->labels,
                                  .adapters = context.common.adapters,
                                  .folder = options->out,
                                  .clear_text = options->clear_text,
                                  .words_file = words.string()};
    if (command.sites.empty()) context.note("no sites are known of this model: --sites names those that write the text");
    const auto compared = context.get<event::GuardCompared>(command);
    context.print(compared.json);
    if (context.common.json) return;
    for (const auto& note : compared.notes) context.note(note);
    std::printf(
        "%s\n%zu prompts; 95 %% intervals over words and noises; passes and seconds of an image; a term is readable if OCR and the list find it%s%s\n%s\n",
        compared.table.c_str(), compared.prompts, compared.classifier.empty() ? "" : "; toxic by ", compared.classifier.c_str(),
        (std::filesystem::path(options->out) / "samples.png").c_str());
  };
}

}  // namespace glyphscope::cli
