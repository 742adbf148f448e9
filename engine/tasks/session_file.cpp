#include "tasks/session_file.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <set>

#include "core/version.h"
#include "editing/edit_way.h"
#include "io/files.h"
#include "io/image_file.h"
#include "io/json.h"
#include "io/weights.h"

namespace glyphscope {
namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;

namespace {

constexpr const char* kFile = "session.json";
constexpr const char* kSchema = "glyphscope.session/";
constexpr int kVersion = 1;

// --- Commands ------------------------------------------------------------------------------------

ordered_json to_json(const command::OpenModel& model) {
  return {{"source", model.source}, {"config", model.config}, {"upscaler", model.upscaler},
          {"dtype", model.dtype},   {"device", model.device}, {"memory", model.memory}};
}

command::OpenModel model_from(const json& from) {
  command::OpenModel out;
  out.source = from.value("source", "");
  out.config = from.value("config", "");
  out.upscaler = from.value("upscaler", "");
  out.dtype = from.value("dtype", out.dtype);
  out.device = from.value("device", out.device);
  out.memory = from.value("memory", out.memory);
  return out;
}

ordered_json to_json(const command::Sampling& sampling) {
  ordered_json out{{"steps", sampling.steps},
                   {"guidance", sampling.guidance},
                   {"seed", sampling.seed},
                   {"upscale_steps", sampling.upscale_steps},
                   {"scheduler", sampling.scheduler},
                   {"width", sampling.width},
                   {"height", sampling.height},
                   {"clip_skip", sampling.clip_skip},
                   {"rows_at_once", sampling.rows_at_once},
                   {"noise_level", sampling.noise_level},
                   {"enlarged", sampling.enlarged},
                   {"method", sampling.method}};
  if (sampling.negative) out["negative"] = *sampling.negative;
  return out;
}

command::Sampling sampling_from(const json& from) {
  command::Sampling out;
  out.steps = from.value("steps", out.steps);
  out.guidance = from.value("guidance", out.guidance);
  out.seed = from.value("seed", out.seed);
  out.upscale_steps = from.value("upscale_steps", out.upscale_steps);
  out.scheduler = from.value("scheduler", "");
  out.width = from.value("width", out.width);
  out.height = from.value("height", out.height);
  out.clip_skip = from.value("clip_skip", out.clip_skip);
  out.rows_at_once = from.value("rows_at_once", out.rows_at_once);
  out.noise_level = from.value("noise_level", out.noise_level);
  out.enlarged = from.value("enlarged", "");
  out.method = from.value("method", out.method);
  if (from.contains("negative")) out.negative = from["negative"].get<std::string>();
  return out;
}

ordered_json to_json(const command::Generate& command) {
  ordered_json out{{"source", command.source},
                   {"sampling", to_json(command.sampling)},
                   {"plan", command.plan.to_json()},
                   {"adapters", command.adapters},
                   {"pooled_target", command.pooled_target}};
  if (command.target) out["target"] = *command.target;
  return out;
}

command::Generate generate_from(const json& from) {
  command::Generate out;
  from.at("source").get_to(out.source);
  if (from.contains("target")) out.target = from["target"].get<std::string>();
  out.sampling = sampling_from(from.at("sampling"));
  out.plan = PatchPlan::from_json(from.at("plan"));
  out.adapters = from.value("adapters", out.adapters);
  out.pooled_target = from.value("pooled_target", false);
  return out;
}

ordered_json to_json(const std::optional<PixelBox>& box) { return box ? ordered_json{box->left, box->top, box->right, box->bottom} : ordered_json(nullptr); }

std::optional<PixelBox> box_from(const json& from) {
  if (from.is_null()) return std::nullopt;
  const auto sides = from.get<std::vector<int>>();
  if (sides.size() != 4) throw json::other_error::create(0, "a box has four sides", &from);
  return PixelBox{sides[0], sides[1], sides[2], sides[3]};
}

ordered_json to_json(const command::EditText& command) {
  ordered_json out{
      {"source", command.source},           {"picture", command.picture},       {"refinements", command.refinements}, {"sampling", to_json(command.sampling)},
      {"targets", command.targets},         {"from_steps", command.from_steps}, {"plan", command.plan.to_json()},     {"pooled_target", command.pooled_target},
      {"masked", command.masked},           {"mask", to_json(command.mask)},    {"feather", command.feather},         {"compared", command.compared},
      {"cross_share", command.cross_share}, {"self_share", command.self_share}, {"adapters", command.adapters}};
  return out;
}

command::EditText edit_from(const json& from) {
  command::EditText out;
  from.at("source").get_to(out.source);
  out.picture = from.value("picture", "");
  out.refinements = from.value("refinements", out.refinements);
  out.sampling = sampling_from(from.at("sampling"));
  from.at("targets").get_to(out.targets);
  from.at("from_steps").get_to(out.from_steps);
  if (out.targets.size() != 1 || out.from_steps.size() != 1) throw json::other_error::create(0, "an edit of the history has one target and one step", &from);
  out.plan = PatchPlan::from_json(from.at("plan"));
  out.pooled_target = from.value("pooled_target", false);
  out.masked = from.value("masked", false);
  out.mask = box_from(from.value("mask", json()));
  out.feather = from.value("feather", out.feather);
  out.compared = from.value("compared", false);
  out.cross_share = from.value("cross_share", out.cross_share);
  out.self_share = from.value("self_share", out.self_share);
  out.adapters = from.value("adapters", out.adapters);
  return out;
}

// The log is the user's file of the time, and is not added to again.
ordered_json to_json(const command::SetGuard& guard) { return {{"words", guard.words}, {"sites", guard.sites}, {"from_step", guard.from_step}}; }

command::SetGuard guard_from(const json& from) {
  return {.on = true, .words = from.at("words").get<std::string>(), .sites = from.value("sites", std::vector<int>()), .from_step = from.value("from_step", 0)};
}

// --- Pictures ------------------------------------------------------------------------------------

class PictureWriter {
 public:
  PictureWriter(ArchiveFiles& files, EncodedPictures& encoded) : files_(files), encoded_(encoded) {}

  ordered_json operator()(const std::string& name, const Picture& picture) {
    if (!picture.rgb) return nullptr;
    files_[name] = encoded_.of(picture);
    ordered_json out{{"file", name}};
    if (picture.read) out["read"] = *picture.read;
    for (const auto& [key, value] : picture.scores) out["scores"][key] = std::isfinite(value) ? ordered_json(value) : ordered_json(nullptr);
    return out;
  }

 private:
  ArchiveFiles& files_;
  EncodedPictures& encoded_;
};

class PictureReader {
 public:
  PictureReader(const ArchiveFiles& files, const fs::path& path) : files_(files), path_(path) {}

  Picture operator()(const json& from) const {
    Picture out;
    if (from.is_null()) return out;
    out = decoded(from.at("file").get<std::string>());
    if (from.contains("read")) out.read = from["read"].get<std::string>();
    if (from.contains("scores"))
      for (const auto& [key, value] : from["scores"].items()) out.scores[key] = value.is_null() ? std::numeric_limits<double>::infinity() : value.get<double>();
    return out;
  }

 private:
  // Each file once, however many speak of it.
  const Picture& decoded(const std::string& name) const {
    if (const auto known = decoded_.find(name); known != decoded_.end()) return known->second;
    const auto found = files_.find(name);
    if (found == files_.end()) reject("a picture of the session is missing: " + name, path_.string());
    const fs::path where = path_ / name;
    const torch::Tensor pixels = image_of(found->second, where).permute({1, 2, 0}).contiguous();
    constexpr std::int64_t kMostBytes = std::int64_t{4} << 30;
    bytes_ += pixels.numel();
    if (bytes_ > kMostBytes) reject("its pictures take more than 4 GiB", path_.string());
    const auto* bytes = pixels.data_ptr<std::uint8_t>();
    Picture out;
    out.width = static_cast<int>(pixels.size(1));
    out.height = static_cast<int>(pixels.size(0));
    out.rgb = std::make_shared<const std::vector<std::uint8_t>>(bytes, bytes + pixels.numel());
    out.metadata = png_metadata_of(found->second, where);
    return decoded_[name] = std::move(out);
  }
  const ArchiveFiles& files_;
  const fs::path& path_;
  mutable std::map<std::string, Picture> decoded_;
  mutable std::int64_t bytes_ = 0;
};

ordered_json to_json(const SessionFile::Study& study, PictureWriter& keep) {
  ordered_json out{{"command", to_json(study.command)},
                   {"source", keep("study/source.png", study.ready.source)},
                   {"target", keep("study/target.png", study.ready.target)},
                   {"sites", study.ready.sites},
                   {"notes", study.ready.notes},
                   {"seconds", study.ready.seconds}};
  out["patched"] = study.ready.patched.empty() ? ordered_json(nullptr) : keep("study/patched.png", study.ready.patched.front());
  return out;
}

SessionFile::Study study_from(const json& from, const PictureReader& picture) {
  SessionFile::Study out{.command = generate_from(from.at("command")), .ready = {}};
  out.ready.source = picture(from.at("source"));
  out.ready.target = picture(from.value("target", json()));
  if (const json patched = from.value("patched", json()); !patched.is_null()) out.ready.patched.push_back(picture(patched));
  out.ready.sites = from.value("sites", out.ready.sites);
  out.ready.notes = from.value("notes", out.ready.notes);
  out.ready.seconds = from.value("seconds", 0.0);
  return out;
}

// "sites", "target_prompt", "prompt_to_prompt"
constexpr const char* kWays[] = {"sites", "target_prompt", "prompt_to_prompt"};

ordered_json to_json(const SessionFile::Edit& edit, const std::string& folder, PictureWriter& keep) {
  const event::EditReady& ready = edit.ready;
  ordered_json out{{"command", to_json(edit.command)},
                   {"batch", edit.batch},
                   {"source",
                    {{"picture", keep(folder + "source.png", ready.source.picture)},
                     {"reconstruction", keep(folder + "reconstruction.png", ready.source.reconstruction)},
                     {"drift", keep(folder + "drift.png", ready.source.drift)},
                     {"text_box", to_json(ready.source.text_box)}}},
                   {"steps", ready.steps},
                   {"denoiser_rows", ready.denoiser_rows},
                   {"notes", ready.notes},
                   {"seconds", ready.seconds}};
  for (const auto& variant : ready.variants) {
    const std::string way = kWays[static_cast<int>(variant.way)];
    out["variants"].push_back({{"way", way},
                               {"target", variant.target},
                               {"from_step", variant.from_step},
                               {"picture", keep(folder + way + ".png", variant.picture)},
                               {"pasted", keep(folder + way + "-whole.png", variant.pasted)},
                               {"denoiser_rows", variant.denoiser_rows},
                               {"seconds", variant.seconds}});
  }
  return out;
}

SessionFile::Edit edit_of(const json& from, const PictureReader& picture) {
  SessionFile::Edit out{.command = edit_from(from.at("command")), .ready = {}, .batch = from.value("batch", 1), .input = nullptr};
  const json& source = from.at("source");
  out.ready.source.picture = picture(source.at("picture"));
  out.ready.source.reconstruction = picture(source.value("reconstruction", json()));
  out.ready.source.drift = picture(source.value("drift", json()));
  out.ready.source.text_box = box_from(source.value("text_box", json()));
  out.ready.steps = from.value("steps", out.ready.steps);
  out.ready.denoiser_rows = from.value("denoiser_rows", out.ready.denoiser_rows);
  out.ready.notes = from.value("notes", out.ready.notes);
  out.ready.seconds = from.value("seconds", 0.0);
  for (const json& one : from.at("variants")) {
    event::EditReady::Variant variant;
    const auto way = one.at("way").get<std::string>();
    const auto* known = std::find(std::begin(kWays), std::end(kWays), way);
    if (known == std::end(kWays)) throw json::other_error::create(0, "there is no way to edit called \"" + way + "\"", &one);
    variant.way = static_cast<EditWay>(known - std::begin(kWays));
    one.at("target").get_to(variant.target);
    one.at("from_step").get_to(variant.from_step);
    variant.picture = picture(one.at("picture"));
    variant.pasted = picture(one.value("pasted", json()));
    variant.denoiser_rows = one.value("denoiser_rows", variant.denoiser_rows);
    variant.seconds = one.value("seconds", 0.0);
    out.ready.variants.push_back(std::move(variant));
  }
  if (out.ready.variants.empty()) throw json::other_error::create(0, "an edit has a picture", &from);
  if (out.command.plan.empty()) throw json::other_error::create(0, "an edit has sites", &from);
  for (const Picture* one : {&out.ready.source.reconstruction, &out.ready.source.drift})
    if (one->rgb && (!one->scores.contains("ssim") || !one->scores.contains("psnr")))
      throw json::other_error::create(0, "what was drawn again has an SSIM and a PSNR", &from);
  return out;
}

ordered_json to_json(const std::vector<SessionFile::Reference>& references) {
  ordered_json out = ordered_json::array();
  for (const auto& one : references) out.push_back({{"folder", one.folder}, {"settings_sha256", one.sha256}});
  return out;
}

std::vector<SessionFile::Reference> references_from(const json& from) {
  std::vector<SessionFile::Reference> out;
  for (const json& one : from) out.push_back({one.at("folder").get<std::string>(), one.value("settings_sha256", "")});
  return out;
}

constexpr const char* kFigureFile = "figure.png";
const std::set<std::string> kKnown{"schema", "glyphscope",   "model", "model_sha256", "adapters", "sites",  "study",
                                   "edits",  "present_edit", "runs",  "trainings",    "guard",    "window", "figure"};

}  // namespace

EncodedPictures::Known& EncodedPictures::known(const std::shared_ptr<const void>& what) {
  used_.insert(what.get());
  Known& out = known_[what.get()];
  out.keep = what;
  return out;
}

const std::string& EncodedPictures::of(const Picture& picture) {
  std::string& bytes = known(picture.rgb).text;
  if (bytes.empty()) {
    const torch::Tensor pixels =
        torch::from_blob(const_cast<std::uint8_t*>(picture.rgb->data()), {picture.height, picture.width, 3}, torch::kUInt8).permute({2, 0, 1});
    bytes = png_bytes(pixels, picture.metadata.empty() ? ordered_json(nullptr) : ordered_json::parse(picture.metadata, nullptr, false));
  }
  return bytes;
}

const std::string& EncodedPictures::name_of(const std::shared_ptr<const std::string>& input) {
  std::string& name = known(input).text;
  if (name.empty()) name = "inputs/" + sha256_text(*input).substr(0, 32);
  return name;
}

void EncodedPictures::end() {
  std::erase_if(known_, [&](const auto& one) { return !used_.contains(one.first); });
}

std::string EncodedPictures::hash_of(const std::string& file) {
  std::error_code error;
  const auto written = fs::last_write_time(file, error);
  if (error) return {};
  auto& [when, hash] = hashes_[file];
  if (hash.empty() || when != written) {
    const auto formed = attempt([&] { return sha256_file(file); });
    when = written;
    hash = formed ? *formed : std::string();
  }
  return hash;
}

SessionFile read_session(const fs::path& path, std::vector<std::string>& notes) {
  const ArchiveFiles files = read_archive(path);
  const auto found = files.find(kFile);
  if (found == files.end()) reject(std::string("this is no session: there is no ") + kFile + " in it", path.string());
  const fs::path where = path / kFile;
  const json document = json::parse(found->second, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object()) reject("this is no JSON, or it is damaged", where.string());
  SessionFile out;
  reading_json(where, [&] {
    const auto schema = document.value("schema", "");
    if (!schema.starts_with(kSchema)) reject("this is no session of Glyphscope's", where.string());
    if (const int version = std::atoi(schema.c_str() + std::string(kSchema).size()); version > kVersion)
      notes.push_back("The session was written by a newer Glyphscope (" + document.value("glyphscope", "?") + "): what this one does not know is left out.");
    std::string others;
    for (const auto& [key, value] : document.items()) {
      if (kKnown.contains(key)) continue;
      out.unknown[key] = value;
      others += (others.empty() ? "" : ", ") + key;
    }
    if (!others.empty()) notes.push_back("This version does not know what the session says of " + others + "; it is kept when the session is saved.");
    if (document.contains("model")) out.model = model_from(document["model"]);
    out.model_hash = document.value("model_sha256", "");
    for (const json& one : document.value("adapters", json::array()))
      out.adapters.push_back({one.at("file").get<std::string>(), one.value("sha256", ""), one.value("strength", 1.0), one.value("on", true)});
    out.sites = document.value("sites", out.sites);
    if (document.contains("guard")) out.guard = guard_from(document["guard"]);
    const PictureReader picture(files, path);
    if (document.contains("study")) out.study = study_from(document["study"], picture);
    std::map<std::string, std::shared_ptr<const std::string>> inputs;  // several edits may begin with one
    for (const json& one : document.value("edits", json::array())) {
      out.edits.push_back(edit_of(one, picture));
      const auto input = files.find(one.value("input", ""));
      if (input == files.end()) continue;
      auto& bytes = inputs[input->first];
      if (!bytes) bytes = std::make_shared<const std::string>(input->second);
      out.edits.back().input = bytes;
    }
    out.present = std::min(document.value("present_edit", -1), static_cast<int>(out.edits.size()) - 1);
    if (document.contains("figure")) {
      const auto picture = files.find(document["figure"].get<std::string>());
      if (picture == files.end()) reject("a picture of the session is missing: " + document["figure"].get<std::string>(), path.string());
      out.figure = std::make_shared<const std::string>(picture->second);
    }
    out.runs = references_from(document.value("runs", json::array()));
    out.trainings = references_from(document.value("trainings", json::array()));
    if (document.contains("window")) out.window = document["window"];
    if (!out.window.is_object() || (out.window.contains("fields") && !out.window["fields"].is_object()))
      throw json::other_error::create(0, "what it says of the window is no object", &document);
    return 0;
  });
  EncodedPictures hashes;
  for (const auto& one : out.adapters)
    if (const std::string now = hashes.hash_of(one.file); !one.sha256.empty() && !now.empty() && now != one.sha256)
      notes.push_back("The adapter " + one.file + " is another file by now than the session is of.");
  return out;
}

void write_session(const fs::path& path, const SessionFile& session, EncodedPictures& pictures) {
  ArchiveFiles files;
  pictures.begin();
  PictureWriter keep(files, pictures);
  ordered_json document{{"schema", kSchema + std::to_string(kVersion)}, {"glyphscope", version()}};
  if (!session.model.source.empty()) document["model"] = to_json(session.model);
  if (!session.model_hash.empty()) document["model_sha256"] = session.model_hash;
  document["adapters"] = ordered_json::array();
  for (const auto& one : session.adapters) {
    document["adapters"].push_back({{"file", one.file}, {"strength", one.strength}, {"on", one.on}});
    if (const std::string hash = one.sha256.empty() ? pictures.hash_of(one.file) : one.sha256; !hash.empty()) document["adapters"].back()["sha256"] = hash;
  }
  document["sites"] = session.sites;
  if (session.study) document["study"] = to_json(*session.study, keep);
  document["edits"] = ordered_json::array();
  for (size_t i = 0; i < session.edits.size(); ++i) {
    const SessionFile::Edit& edit = session.edits[i];
    ordered_json one = to_json(edit, "edits/" + std::to_string(i) + "/", keep);
    if (edit.input) {
      const std::string& name = pictures.name_of(edit.input);
      files[name] = *edit.input;
      one["input"] = name;
    }
    document["edits"].push_back(std::move(one));
  }
  document["present_edit"] = session.present;
  if (session.figure) {
    files[kFigureFile] = *session.figure;
    document["figure"] = kFigureFile;
  }
  document["runs"] = to_json(session.runs);
  document["trainings"] = to_json(session.trainings);
  if (session.guard) document["guard"] = to_json(*session.guard);
  document["window"] = session.window;
  add_keys(document, session.unknown);
  files[kFile] = json_text(document, 2) + "\n";
  write_archive(path, files, kFile);
  pictures.end();
}

void unpack_inputs(SessionFile& session, const fs::path& folder) {
  for (auto& edit : session.edits) {
    if (!edit.input) continue;
    std::error_code error;
    if (fs::is_regular_file(edit.command.picture, error)) {
      const auto there = attempt([&] { return read_text(edit.command.picture); });
      if (there && *there == *edit.input) continue;
    }
    const fs::path file = folder / (sha256_text(*edit.input).substr(0, 32) + fs::path(edit.command.picture).extension().string());
    if (!fs::exists(file, error)) write_text(file, *edit.input);
    edit.command.picture = file.string();
  }
}

std::string reference_hash(const fs::path& folder) {
  std::error_code error;
  for (const char* name : {"settings.json", "checkpoint/settings.json"})
    if (fs::exists(folder / name, error)) {
      const auto text = attempt([&] { return read_text(folder / name); });
      return text ? sha256_text(*text) : std::string();
    }
  return {};
}

}  // namespace glyphscope
