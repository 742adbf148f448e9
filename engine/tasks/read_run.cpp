#include <torch/types.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <set>
#include <string>

#include "experiments/certificate.h"
#include "experiments/localization.h"
#include "experiments/map.h"
#include "experiments/run_folder.h"
#include "io/files.h"
#include "io/image_file.h"
#include "io/json.h"
#include "tasks/run_events.h"
#include "tasks/session.h"

namespace glyphscope {
namespace fs = std::filesystem;

namespace {

event::RunRead::Question about(RunFolder& run, const Question& question) {
  event::RunRead::Question out{question.name, question.title, static_cast<std::int64_t>(question.cells.size())};
  for (const Cell& cell : question.cells) {
    const auto& measured = run.measured(cell);
    out.done += std::all_of(question.variants.begin(), question.variants.end(), [&](const Variant& one) {
      return std::any_of(measured.begin(), measured.end(), [&](const MeasuredVariant& other) { return other.variant == one; });
    });
  }
  return out;
}

class ReadingRun {
 public:
  ReadingRun(const fs::path& folder, const Job& job)
      : folder_(folder), job_(job), run_(folder), described_(read_description(folder)), table_(described_.model.table) {
    const fs::path file = folder / "settings.json";
    settings_ = reading_json(file, [&] { return RunSettings::from_json(read_json(file).at("settings"), file.string()); });
  }

  void tell() {
    job_.tell(facts());
    if_answered([&] { localization(); });
    for (const auto& question : run_.questions())
      if (!question.map.is_null()) if_answered([&] { map(question); });
    if (fs::exists(folder_ / "asked-certificate.json")) if_answered([&] { certificate(); });
  }

 private:
  event::RunRead facts() {
    const ModelInfo& model = described_.model;
    const Request& sampling = settings_.sampling;
    event::RunRead out{.folder = folder_.string(),
                       .model = model.source,
                       .model_hash = model.hash.text(),
                       .family = model.family,
                       .dtype = model.dtype,
                       .device = model.device,
                       .ocr = described_.ocr,
                       .table = table_,
                       .adapters = model.adapters.size(),
                       .guarded = !model.policy.is_null(),
                       .pairs = static_cast<int>(settings_.pairs.size()),
                       .noises = static_cast<int>(settings_.seeds.size()),
                       .width = static_cast<int>(sampling.width),
                       .height = static_cast<int>(sampling.height),
                       .steps = sampling.steps,
                       .guidance = sampling.guidance};
    for (const auto& question : run_.questions()) {
      or_noted([&] { out.questions.push_back(about(run_, question)); });
    }
    return out;
  }

  // What is damaged is told once, and the rest is read.
  void or_noted(const std::function<void()>& read) {
    job_.cancel.check();
    try {
      read();
    } catch (const Failure& failure) {
      if (failure.error().code == ErrorCode::cancelled) throw;
      if (noted_.insert(failure.error().message()).second) job_.note(failure.error().message());
    }
  }
  // What is not answered yet is not there: others may be at it.
  void if_answered(const std::function<void()>& tell) {
    or_noted([&] {
      try {
        tell();
      } catch (const RunIncomplete&) {
      }
    });
  }

  // A picture with what was measured: A's and B's own are kept, others if that was asked for; without pixels where there is no file.
  Picture picture(const Cell& cell, const MeasuredVariant& measured) {
    Picture out;
    out.read = measured.read;
    out.scores = measured.scores;
    or_noted([&] {
      const std::string file = kept_picture(folder_, cell, measured);
      if (file.empty()) return;
      const auto image = measured.picture.empty() ? std::optional(read_image(folder_ / file)) : run_.picture(file);
      if (image) out = to_picture(*image, measured, read_png_metadata(folder_ / file));
    });
    return out;
  }

  void localization() {
    if (!fs::exists(folder_ / "asked-localization.json")) return;
    const LocalizationSettings settings = LocalizationSettings::read(folder_);
    const LocalizationObserver observer;
    Cells cells(settings, run_, observer);
    ScoresSoFar so_far(settings, table_);
    bool any = false;
    for (const Cell& cell : settings.cells()) {
      job_.cancel.check();
      const auto pair = pair_so_far(cells, settings, table_, cell);
      if (!pair) continue;
      any = true;
      so_far.add(*pair);
      const PromptPair& prompts = settings.pairs[static_cast<size_t>(cell.pair)];
      event::PairReady ready{.pair = cell.pair,
                             .pairs = static_cast<int>(settings.pairs.size()),
                             .source_text = prompts.source_text,
                             .target_text = prompts.target_text,
                             .source = picture(cell, *cells.find(cell, own_picture(0))),
                             .target = picture(cell, *cells.find(cell, own_picture(1)))};
      for (const MeasuredVariant& one : pair->patched) ready.patched.push_back(picture(cell, one));
      job_.tell(std::move(ready));
    }
    if (!any) return;
    const auto tell = [&](const LocalizationResult& result, bool final) {
      event::ScoresReady ready = scores_ready(result, settings, folder_.string());
      ready.final = final;
      ready.document = run_document(result, settings, described_.model, described_.ocr, {});
      job_.tell(std::move(ready));
    };
    try {
      tell(run_localization(cells, settings, table_, observer), true);
    } catch (const RunIncomplete&) {
      tell(so_far.result(), false);
    }
  }

  void map(const Question& question) {
    const RunObserver observer;
    Cells cells(settings_, run_, observer);
    const fs::path file = folder_ / "questions" / (question.name + ".json");
    const auto [axes, scope] = reading_json(
        file, [&] { return std::pair(Axes::parse(question.map.at("by").get<std::string>()), Scope::from_json(nlohmann::json(question.map.at("scope")))); });
    const EffectMap found = run_map(cells, settings_, table_, axes, scope);
    event::MapReady ready = map_ready(found, settings_, folder_.string());
    ready.document = json_text(map_document(found, settings_, described_.model, described_.ocr, {}));
    job_.tell(std::move(ready));
  }

  void certificate() {
    const CertifySettings settings = CertifySettings::read(folder_);
    const RunObserver observer;
    Cells cells(settings, run_, observer);
    const Certificate found = certify(cells, settings, table_);
    event::Certified ready = certified(found, settings, folder_.string());
    ready.document = json_text(card_document(found, settings, described_.model, described_.ocr, {}));
    job_.tell(std::move(ready));
  }

  const fs::path folder_;
  const Job& job_;
  RunFolder run_;
  RunDescription described_;
  const SiteTable& table_;
  RunSettings settings_;
  std::set<std::string> noted_;
};

}  // namespace

void read_run(const command::ReadRun& command, const Job& job) {
  job.tell(event::Started{"Reading a run"});
  ReadingRun(command.folder, job).tell();
}

}  // namespace glyphscope
