#include "adapt/finetune.h"

#include <algorithm>
#include <set>

#include "adapt/adapters.h"
#include "demo/sign_words.h"
#include "io/files.h"
#include "io/weights.h"
#include "tasks/session.h"

namespace glyphscope {

namespace {

event::PicturesListed listed(const std::string& folder, const PictureSet& set) {
  event::PicturesListed out{folder, {}, set.faults, set.notes};
  for (const auto* part : {&set.train, &set.held_out})
    for (const auto& one : *part) out.pictures.push_back({one.file.string(), one.caption, one.width, one.height, part == &set.held_out});
  return out;
}

}  // namespace

void read_pictures(Session& session, const command::ReadPictures& command, const Job& job) {
  job.tell(event::Started{"Reading " + command.folder});
  session.keep_pictures(read_picture_set(command.folder, command.held_out, job.progress(), job.cancel));
  job.tell(listed(command.folder, session.pictures()));
}

void finetune(Session& session, const command::Finetune& command, const Job& job) {
  job.tell(event::Started{"Fine-tuning"});
  Pipeline& pipeline = session.model();
  if (command.model_hash && *command.model_hash != pipeline.info().hash)
    reject("another model is open by now than the training is of", pipeline.info().source, "Open that model again");
  FinetuneSettings settings = command.settings;
  if (settings.sample_every > 0 && settings.sample_prompts.empty()) settings.sample_prompts = sample_prompts(pipeline.info());
  if (settings.sample_every == 0) settings.sample_prompts.clear();
  const PictureSet pictures = command.pictures_read ? session.pictures() : read_picture_set(command.pictures, settings.held_out, job.progress(), job.cancel);
  // Without samples the reader's files need not be there.
  const bool leads = !job.processes || job.processes->leads();
  TextReader* reader = settings.sample_prompts.empty() || !leads ? nullptr : session.reader(job.cancel).get();
  std::optional<OutputFolder> held;  // by the first of several processes
  if (leads) held.emplace(command.folder);
  const std::filesystem::path folder = command.folder;

  FinetuneObserver observer;
  observer.preparing = job.progress();
  observer.step = [&](const FinetuneProgress& progress) { job.tell(event::Trained{progress}); };
  observer.samples = [&](std::int64_t step, const TrainingSamples::Scores& scores) {
    using Item = TrainingSamples::Item;
    job.tell(event::SamplesDrawn{step, scores.mean(&Item::exact), scores.mean(&Item::f1), scores.mean(&Item::ssim)});
  };
  observer.note = [&](const std::string& note) { job.note(note); };
  observer.interrupted = job.interrupted;
  observer.interlude = job.interlude;
  const FinetuneResult result = finetune(pipeline, pictures, settings, folder, command.resume, reader, observer, job.cancel, job.processes);
  job.tell(event::AdapterMade{.file = (folder / "last.safetensors").string(),
                              .parameters = result.trained,
                              .all_sites = result.all_sites,
                              .optimizer_bytes = result.optimizer_bytes,
                              .all_sites_optimizer_bytes = result.all_sites_optimizer_bytes,
                              .document = json_text(result.document)});
}

void convert_adapter(Session& session, const command::ConvertAdapter& command, const Job& job) {
  job.tell(event::Started{"Writing " + command.file});
  const LoraFormat format = parse_lora_format(command.format);
  check_output_file(command.file, ".safetensors", {adapter_file(command.adapter)});
  Pipeline& model = session.model();
  const AdapterTarget target = adapter_target(model, command.adapter);
  std::vector<std::string> notes;
  const Adapter adapter = read_adapter(command.adapter, target, notes);
  for (const auto& note : notes) job.note(note);
  write_adapter(command.file, adapter, format, target);

  event::AdapterConverted out{.file = command.file, .sha256 = sha256_file(command.file)};
  std::set<std::int64_t> ranks;
  const auto count = [&](const Lora& lora) {
    out.layers += lora.layers.size() + lora.changes.size();
    out.parameters += lora.parameters();
    for (const auto& [path, layer] : lora.layers) ranks.insert(layer.rank());
  };
  count(adapter.denoiser);
  for (const auto& [component, lora] : adapter.encoders) count(lora);
  out.ranks.assign(ranks.begin(), ranks.end());
  const auto has = [](const auto& layers, const std::string& begin) {
    const auto first = layers.lower_bound(begin);
    return first != layers.end() && first->first.starts_with(begin);
  };
  for (const auto& site : target.table.sites)
    if (has(adapter.denoiser.layers, site.path + ".") || has(adapter.denoiser.changes, site.path + ".")) out.sites.push_back(site.index);
  job.tell(std::move(out));
}

}  // namespace glyphscope
