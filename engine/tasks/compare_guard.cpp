#include <torch/types.h>

#include "demo/sign_words.h"
#include "editing/guard_study.h"
#include "io/files.h"
#include "io/image_file.h"
#include "tasks/session.h"

namespace glyphscope {

void compare_guard(Session& session, const command::CompareGuard& command, const Job& job) {
  job.tell(event::Started{"Comparing ways to keep words out"});
  if (session.guarded()) reject("a guard is on: nothing may be drawn without it", "", "Switch it off to compare it with what one would do otherwise");
  event::GuardCompared out;
  const auto pipeline = session.adapted(command.adapters, [&](const std::string& note) { out.notes.push_back(note); });
  GuardStudySettings settings{.guard = to_guard_settings(command.words, command.words_file, command.sites, command.from_step),
                              .prompts = command.prompts,
                              .sampling = pipeline->resolve(to_request(command.sampling)),
                              .classifier = command.classifier.empty() ? nullptr : std::make_shared<TextClassifier>(command.classifier, command.labels),
                              .seed = command.sampling.seed};
  settings.guard.clear_text = command.clear_text;
  if (settings.prompts.empty()) settings.prompts = term_prompts(pipeline->info(), settings.guard.terms, command.count);
  const std::shared_ptr<TextReader> reader = session.reader(job.cancel);
  std::optional<OutputFolder> folder;
  if (!command.folder.empty()) {
    folder.emplace(command.folder);
    settings.guard.log = *folder / "audit.jsonl";
  }
  const GuardStudy study = run_guard_study(*pipeline, settings, reader, job.progress(), job.cancel);
  auto document = describe_guard_study(study, settings, pipeline->info(), reader);
  if (folder) document["audit_last"] = AuditLog(settings.guard.log).last();
  out.methods = study.methods;
  out.prompts = settings.prompts.size();
  out.json = json_text(document);
  out.csv = study.csv();
  out.table = study.table();
  out.classifier = study.classifier;
  out.sheet = to_picture(study.sheet, out.json);
  out.notes.insert(out.notes.end(), study.notes.begin(), study.notes.end());
  if (folder) {
    write_json(*folder / "guard.json", document);
    write_text(*folder / "guard.csv", out.csv);
    write_png(*folder / "samples.png", study.sheet, document);
  }
  job.tell(std::move(out));
}

}  // namespace glyphscope
