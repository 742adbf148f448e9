#include <torch/types.h>

#include <cmath>

#include "experiments/localization.h"
#include "io/files.h"
#include "io/image_file.h"
#include "io/json.h"
#include "tasks/session.h"

namespace glyphscope {

namespace {

constexpr const char* kNames[] = {"source", "target", "patched"};

// A picture without its text is still worth showing, where nobody must have it.
std::vector<std::optional<Measurement>> read_texts(Session& session, const command::Generate& command, const Result& result, const PromptPair& pair,
                                                   std::vector<std::string>& notes, const CancelToken& cancel) {
  std::vector<std::optional<Measurement>> out(static_cast<size_t>(result.images.size(0)));
  if (command.read == command::Generate::Read::no) return out;
  std::string unscored;
  for (const auto& [name, text] : {std::pair("A", &pair.source_text), {"B", &pair.target_text}})
    if (text->empty()) unscored += (unscored.empty() ? "" : " and ") + std::string(name);
  if (!unscored.empty())
    notes.push_back("Nothing is scored against prompt " + unscored + ", which has no text in double quotes. Write for example: a sign that says \"OPEN\".");
  const auto read = attempt([&] {
    TextReader& reader = *session.reader(cancel);
    Judges& judges = session.judges(command.judges);
    if (const std::string note = note_on_unreadable(reader, {pair.source_text, pair.target_text}); !note.empty()) notes.push_back(note + ".");
    std::vector<std::vector<TextPiece>> pieces;
    std::vector<Box> boxes;  // in A's and B's own pictures
    for (size_t i = 0; i < out.size(); ++i) {
      pieces.push_back(reader.read(result.images[static_cast<std::int64_t>(i)]));
      for (const auto& piece : pieces.back())
        if (i < 2) boxes.push_back(piece.box);
    }
    for (size_t i = 0; i < out.size(); ++i) {
      const torch::Tensor image = result.images[static_cast<std::int64_t>(i)];
      out[i] = measure(image, pieces[i], result.images[0], pieces[0], pair.source_text, pair.target_text);
      leave_out_unscored(*out[i], pair.source_text, pair.target_text);
      judges.score({image, result.images[0], pair.target, pair.source_text, pair.target_text, boxes}, out[i]->scores);
    }
  });
  if (read) return out;
  if (command.read == command::Generate::Read::must) throw Failure(read.error());
  notes.push_back("The pictures' texts were not read: " + read.error().message());
  return std::vector<std::optional<Measurement>>(out.size());
}

// patch.json
nlohmann::ordered_json describe(const ModelInfo& info, const command::Generate& command, const Request& request, const Result& result,
                                const std::vector<std::optional<Measurement>>& measured, const std::string& ocr, const nlohmann::ordered_json& judges) {
  auto out = describe_image(info, request, request.rows[2], outcome_of(result, 2));
  const std::vector<int> sites = sites_of(command.plan);
  out["schema"] = "glyphscope.patch/1";
  out["sites"] = sites;
  out["share"] = info.table.share(sites);
  out["ocr"] = ocr;
  if (!judges.is_null()) out["judges"] = judges;
  nlohmann::ordered_json images;
  for (size_t i = 0; i < measured.size(); ++i) {
    images[kNames[i]] = nlohmann::ordered_json::object();
    if (measured[i]) {
      nlohmann::ordered_json scores;
      for (const auto& [name, value] : measured[i]->scores)
        scores[name] = {{"mean", std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json(nullptr)}};
      images[kNames[i]] = {{"read", measured[i]->read}, {"scores", scores}};
    }
    if (const std::string outcome = outcome_of(result, i); !outcome.empty()) images[kNames[i]]["guard"] = outcome;
  }
  out["images"] = images;
  out["seconds"] = {{"mean", result.seconds}};
  return out;
}

}  // namespace

void generate(Session& session, const command::Generate& command, const Job& job) {
  job.tell(event::Started{!command.target ? "Drawing the prompt" : command.plan.empty() ? "Drawing both prompts" : "Editing the text"});
  event::PicturesReady ready;
  const auto pipeline = session.adapted(command.adapters, [&](const std::string& note) { ready.notes.push_back(note); });
  const ModelInfo& info = pipeline->info();
  Request request = pipeline->resolve(to_request(command.sampling));
  const std::uint64_t seed = command.sampling.seed;
  request.prompts = {command.source};
  request.rows = {{0, seed, {}}};
  if (command.target) {
    request.prompts.push_back(*command.target);
    request.rows.push_back({1, seed, {}});
  }
  if (command.target && !command.plan.empty()) request.rows.push_back({0, seed, command.plan, command.pooled_target ? 1 : 0});
  pipeline->validate(request);
  if (command.read == command::Generate::Read::must) {  // a wrong engine or folder is an error now, not after minutes
    session.reader(job.cancel);
    session.judges(command.judges);
  }
  std::optional<OutputFolder> folder;
  if (!command.folder.empty()) {
    folder.emplace(command.folder);
    for (const char* name : kNames) folder->spare(command.sampling.enlarged, {std::string(name) + ".png"});
  }
  const auto result = pipeline->generate(request, {.progress = job.progress()}, job.cancel);
  if (!result) throw Failure(result.error());
  ready.notes.insert(ready.notes.end(), result->notes.begin(), result->notes.end());
  note_outcomes(result->outcomes, {command.target ? "picture A" : "the picture", "picture B", "the edited picture"}, ready.notes);

  const PromptPair pair{command.source, command.target.value_or(""), quoted_text(command.source), quoted_text(command.target.value_or(""))};
  const auto measured = read_texts(session, command, *result, pair, ready.notes, job.cancel);
  for (size_t i = 0; i < measured.size(); ++i) {
    const std::string metadata = json_text(describe_image(info, request, request.rows[i], outcome_of(*result, i)));
    const torch::Tensor image = result->images[static_cast<std::int64_t>(i)];
    Picture picture = measured[i] ? to_picture(image, *measured[i], metadata) : to_picture(image, metadata);
    if (folder) write_picture(*folder / (std::string(kNames[i]) + ".png"), picture);
    if (i == 0)
      ready.source = std::move(picture);
    else if (i == 1)
      ready.target = std::move(picture);
    else
      ready.patched.push_back(std::move(picture));
  }
  ready.sites = sites_of(command.plan);
  ready.seconds = result->seconds;
  if (!ready.patched.empty()) {
    const auto document = describe(info, command, request, *result, measured, measured[0] ? session.reader(job.cancel)->name() : "",
                                   measured[0] ? session.judges(command.judges).describe() : nullptr);
    ready.document = json_text(document);
    if (folder) write_json(*folder / "patch.json", document);
  }
  job.tell(std::move(ready));
}

}  // namespace glyphscope
