#include "tasks/session.h"

#include <torch/types.h>

#include <algorithm>

#include "adapt/adapters.h"
#include "adapt/new_lora.h"
#include "demo/sign_words.h"
#include "demo/studies.h"
#include "device/devices.h"
#include "io/image_file.h"
#include "io/json.h"
#include "pipelines/adaptable_encoder.h"
#include "registry/model_needs.h"
#include "registry/open_model.h"

namespace glyphscope {

namespace {

OpenOptions open_options(const command::OpenModel& model) {
  return {.device = model.device, .dtype = model.dtype, .memory = model.memory, .config = model.config, .upscaler = model.upscaler};
}

event::ModelOpened describe(Pipeline& pipeline, const command::OpenModel& by, std::int64_t bytes) {
  const ModelInfo& info = pipeline.info();
  const auto [source_prompt, target_prompt] = example_prompts(info);
  event::ModelOpened out{.source = info.source,
                         .family = info.family,
                         .dtype = info.dtype,
                         .device = info.device_label,
                         .why_device = info.why_device,
                         .scheduler = info.scheduler,
                         .hash = info.hash,
                         .table = info.table,
                         .parameters = info.parameters,
                         .default_steps = info.default_steps,
                         .default_guidance = info.default_guidance,
                         .no_guidance = info.no_guidance,
                         .width = static_cast<int>(info.default_width),
                         .height = static_cast<int>(info.default_height),
                         .bytes = bytes,
                         .projections = attention_projections(pipeline.denoiser_module()),
                         .text_encoders = {},
                         .source_prompt = source_prompt,
                         .target_prompt = target_prompt,
                         .learned = learned_text(info),
                         .studied = studied_sites(info),
                         .upscaler = {},
                         .opened_by = by};
  for (const AdaptableEncoder* encoder : pipeline.text_encoders()) out.text_encoders.push_back(encoder->component());
  if (const auto& second = info.upscaler)
    out.upscaler = {.source = second->source,
                    .table = second->table,
                    .width = static_cast<int>(second->default_width),
                    .height = static_cast<int>(second->default_height),
                    .default_steps = second->default_steps};
  return out;
}

}  // namespace

void Job::note(const std::string& text) const { tell(event::Noted{text}); }

ProgressCallback Job::progress() const {
  return [tell = tell](const Progress& progress) { tell(event::Progressed{progress}); };
}

FileKind kind_of(const std::string& file) {
  if (has_picture_name(file) || has_other_picture_name(file)) return FileKind::picture;
  return is_adapter(file) ? FileKind::adapter : FileKind::model;
}

Expected<Done> can_open(const command::OpenModel& model) {
  return attempt([&] {
    const auto needs = model_needs(model.source, open_options(model));
    if (!needs) throw Failure(needs.error());
    needs->require(model.source);
  });
}

Expected<std::string> describe_plan(const command::OpenModel& model, const std::string& open_device, std::int64_t open_bytes) {
  return attempt([&] {
    const OpenOptions options = open_options(model);
    const auto needs = model_needs(model.source, options);
    if (!needs) throw Failure(needs.error());
    needs->require(model.source);
    const MemoryPlan plan = plan_beside(needs->components, options.place(), {open_device, static_cast<std::uint64_t>(open_bytes)}).plan;
    std::string out = "On " + device_label(plan.device) + ", in " + dtype_name(plan.dtype) + ": " + memory_text(plan.reading_bytes()) + " of weights, " +
                      memory_text(plan.free) + " of memory " + (plan.device.is_cpu() ? "free" : "to take") + ".";
    if (plan.device.is_cpu() && !plan.reason.empty()) out += " Not on a GPU: " + plan.reason + ".";
    if (const std::string shortage = plan.shortage(); !shortage.empty()) out += " " + shortage + ".";
    return out;
  });
}

Session::Session(MakeReader make_reader, MakeReader make_guard_reader)
    : make_reader_(std::move(make_reader)), make_guard_reader_(std::move(make_guard_reader)) {}
Session::~Session() = default;

void Session::run(const Command& command, const Job& job) {
  job.cancel.check();
  struct Doing {
    Session& session;
    const Job& job;
    void operator()(const command::OpenModel& what) const { session.open(what, job); }
    void operator()(const command::SetGuard& what) const { session.set_guard(what, job); }
    void operator()(const command::Generate& what) const { generate(session, what, job); }
    void operator()(const command::EditText& what) const { edit_text(session, what, job); }
    void operator()(const command::Localize& what) const { localize(session, what, job); }
    void operator()(const command::ReadRun& what) const { read_run(what, job); }
    void operator()(const command::Compare& what) const { compare(what, job); }
    void operator()(const command::ReadPictures& what) const { read_pictures(session, what, job); }
    void operator()(const command::Finetune& what) const { finetune(session, what, job); }
    void operator()(const command::ConvertAdapter& what) const { convert_adapter(session, what, job); }
    void operator()(const command::Look& what) const { look(session, what, job); }
    void operator()(const command::CompareGuard& what) const { compare_guard(session, what, job); }
  };
  if (made_room_ && !std::holds_alternative<command::OpenModel>(command)) open_again(job);
  std::visit(Doing{*this, job}, command);
}

Pipeline& Session::model() const {
  if (!pipeline_) reject("no model is open", "", "Open a model first");
  return *pipeline_;
}

std::shared_ptr<Pipeline> Session::adapted(const std::vector<std::string>& adapters, const std::function<void(const std::string&)>& note) const {
  model();
  if (adapters.empty()) return pipeline_;
  std::vector<std::string> notes;
  auto out = attach_adapters(pipeline_, adapters, notes);
  for (const auto& one : notes) note(one);
  return out;
}

const std::shared_ptr<TextReader>& Session::reader(const CancelToken& cancel) {
  if (!reader_) reader_ = make_reader_(cancel);
  return reader_;
}

std::shared_ptr<Judges> Session::shared_judges(const JudgeFolders& folders) {
  const torch::Device device = model().info().placement.device;
  if (!judges_ || judge_folders_ != folders || judge_device_ != device.str()) {
    judges_.reset();
    judges_ = std::make_shared<Judges>(folders, device);
    judge_folders_ = folders;
    judge_device_ = device.str();
  }
  return judges_;
}

const PictureSet& Session::pictures() const {
  if (!pictures_) reject("no folder of pictures was read");
  return *pictures_;
}

const EditSource& Session::edit_source(const nlohmann::json& key, const std::function<EditSource()>& draw) {
  constexpr size_t kMostKept = 2;  // a quick one, and the one it is the preview of
  const auto kept = std::find_if(edited_.begin(), edited_.end(), [&](const auto& one) { return one.first == key; });
  if (kept != edited_.end()) return kept->second;
  EditSource fresh = draw();
  if (edited_.size() == kMostKept) edited_.pop_front();
  return edited_.emplace_back(key, std::move(fresh)).second;
}

void Session::open(const command::OpenModel& command, const Job& job) {
  job.tell(event::Started{"Opening " + command.source});
  OpenOptions options = open_options(command);
  options.cancel = job.cancel;
  const auto needs = model_needs(command.source, options);
  if (!needs) throw Failure(needs.error());
  // A device may not hold two models: the one before goes where the new one would not fit well beside it.
  Leaving before;
  if (pipeline_) before = {pipeline_->info().placement.device.str(), opened_.bytes};
  auto [plan, makes_room] = plan_beside(needs->components, options.place(), before);
  if (makes_room) {
    needs->require(command.source);
    pipeline_.reset();
    made_room_ = true;
    edited_.clear();
  }
  try {
    if (makes_room) plan = plan_memory(needs->components, options.place());
    const auto bytes = static_cast<std::int64_t>(plan.reading_bytes());
    if (plan.unexpected) job.note("Computing on the CPU: " + plan.reason);
    if (const std::string shortage = plan.shortage(); !shortage.empty()) job.note(shortage);
    if (plan.device.is_cpu() && plan.dtype == torch::kFloat16) job.note("fp16 is many times slower than bf16 on a CPU");
    event::ModelMeasured measured{command.source, device_label(plan.device), {}, bytes, static_cast<std::int64_t>(plan.free), plan.dtype == torch::kFloat32};
    for (const auto& component : needs->components) measured.parameters.emplace_back(component.name, component.parameters.numbers);
    job.tell(std::move(measured));
    needs->require(command.source);
    job.cancel.check();
    auto opened = open_model(command.source, options);
    if (!opened) throw Failure(opened.error());
    job.cancel.check();
    auto guarding = guarded_;
    if (guarding) guarding->sites.clear();  // of another model
    guard(**opened, guarding, job.cancel);
    guarded_ = std::move(guarding);
    pipeline_ = *opened;
    made_room_ = false;
    opened_ = {command, plan.device.is_cpu() ? 0 : plan.reading_bytes()};
    edited_.clear();
    for (const auto& note : pipeline_->info().notes) job.note(note);
    job.tell(describe(*pipeline_, command, bytes));
  } catch (const Failure& failure) {
    if (!made_room_ || failure.error().code == ErrorCode::cancelled) throw;
    Error error = failure.error();
    error.hint += (error.hint.empty() ? "" : ". ") + opened_.by.source + " had made room, and is loaded again when it is needed";
    throw Failure(error);
  }
}

void Session::open_again(const Job& job) {
  job.tell(event::Started{"Opening " + opened_.by.source + " again"});
  OpenOptions options = open_options(opened_.by);
  options.cancel = job.cancel;
  auto again = open_model(opened_.by.source, options);
  if (!again) throw Failure(again.error());
  guard(**again, guarded_, job.cancel);
  pipeline_ = *again;
  made_room_ = false;
}

void Session::guard(Pipeline& model, const std::optional<command::SetGuard>& wanted, const CancelToken& cancel) {
  if (!wanted) return model.set_policy(policy_ = nullptr);
  GuardSettings settings = to_guard_settings(wanted->words, wanted->words_file, wanted->sites, wanted->from_step);
  PatchPlan::at_sites(wanted->sites, 0, wanted->from_step).validate(model.info().table, 1);
  settings.log = wanted->log;
  settings.clear_text = wanted->clear_text;
  if (!make_guard_reader_) {
    policy_ = std::make_shared<Guard>(std::move(settings), reader(cancel));
  } else {
    if (!guard_reader_) guard_reader_ = make_guard_reader_(cancel);
    policy_ = std::make_shared<Guard>(std::move(settings), guard_reader_);
  }
  model.set_policy(policy_);
}

void Session::set_guard(const command::SetGuard& command, const Job& job) {
  job.tell(event::Started{command.on ? "Switching the guard on" : "Switching the guard off"});
  const std::optional<command::SetGuard> wanted = command.on ? std::optional(command) : std::nullopt;
  const std::size_t terms = wanted ? to_guard_settings(command.words, command.words_file, {}, 0).terms.terms().size() : 0;
  if (pipeline_) guard(*pipeline_, wanted, job.cancel);
  guarded_ = wanted;
  edited_.clear();  // their sources were drawn otherwise
  job.tell(event::GuardSet{command.on, terms, command.sites});
}

Request to_request(const command::Sampling& sampling) {
  Request request;
  request.steps = sampling.steps;
  request.guidance = sampling.guidance;
  request.scheduler = sampling.scheduler;
  request.width = sampling.width;
  request.height = sampling.height;
  request.negative = sampling.negative;
  request.clip_skip = sampling.clip_skip;
  request.rows_at_once = sampling.rows_at_once;
  request.noise_level = sampling.noise_level;
  request.upscale_steps = sampling.upscale_steps;
  request.method = parse_method(sampling.method);
  if (!sampling.enlarged.empty()) request.pictures = read_image(sampling.enlarged).unsqueeze(0);
  return request;
}

GuardSettings to_guard_settings(const std::string& words, const std::string& file, const std::vector<int>& sites, int from_step) {
  GuardSettings out{TermList::parse(words, file.empty() ? "the list of words" : file), sites, from_step, "", false};
  if (out.terms.terms().empty()) reject("there is no term in it", file.empty() ? "the list of words" : file, "Write one a line: TERM, or TERM => REPLACEMENT");
  return out;
}

Picture to_picture(const torch::Tensor& image, std::string metadata) {
  Picture out;
  out.width = static_cast<int>(image.size(2));
  out.height = static_cast<int>(image.size(1));
  const torch::Tensor pixels = image.permute({1, 2, 0}).contiguous();
  const auto* data = pixels.data_ptr<std::uint8_t>();
  out.rgb = std::make_shared<const std::vector<std::uint8_t>>(data, data + pixels.numel());
  out.metadata = std::move(metadata);
  return out;
}

Picture to_picture(const torch::Tensor& image, const Measurement& measurement, std::string metadata) {
  Picture out = to_picture(image, std::move(metadata));
  out.read = measurement.read;
  out.scores = measurement.scores;
  return out;
}

void write_picture(const std::filesystem::path& file, const Picture& picture) {
  const auto* data = picture.rgb->data();
  const torch::Tensor image = torch::tensor(torch::ArrayRef<std::uint8_t>(data, picture.rgb->size()), torch::kUInt8)
                                  .view({picture.height, picture.width, 3})
                                  .permute({2, 0, 1})
                                  .contiguous();
  write_png(file, image, picture.metadata.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json::parse(picture.metadata));
}

void note_outcomes(const std::vector<std::string>& outcomes, const std::vector<std::string>& names, std::vector<std::string>& notes) {
  for (size_t i = 0; i < outcomes.size(); ++i)
    if (!outcomes[i].empty() && outcomes[i] != kAsAsked)
      notes.push_back("Guard, " + names[i] + ": " + (outcomes[i] == kWithheld ? "withheld" : "listed words replaced, " + outcomes[i]));
}

}  // namespace glyphscope
