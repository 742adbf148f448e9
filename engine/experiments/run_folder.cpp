#include "experiments/run_folder.h"

#include <torch/types.h>

#include <algorithm>
#include <set>
#include <utility>

#include "core/error.h"
#include "core/option.h"
#include "io/files.h"
#include "io/image_file.h"
#include "io/json.h"
#include "io/weights.h"

namespace glyphscope {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

constexpr const char* kCellSchema = "glyphscope.cell/1";
constexpr const char* kSettingsSchema = "glyphscope.run-settings/4";
constexpr const char* kGradientSchema = "glyphscope.gradients/1";
constexpr const char* kQuestionSchema = "glyphscope.question/1";
constexpr const char* kMeasureAgain = "Delete the file to have it measured again";

std::string cell_name(const Cell& cell) { return "pair" + std::to_string(cell.pair) + "-noise" + std::to_string(cell.noise); }

// What is wrong with a file of the run is wrong there.
template <class Body>
auto reading_kept(const fs::path& file, Body&& body) {
  const auto kept = attempt([&] { return reading_json(file, body); });
  if (kept) return *kept;
  Error error = kept.error();
  if (error.where.empty()) error.where = file.string();
  if (error.hint.empty()) error.hint = kMeasureAgain;
  throw Failure(error);
}

std::vector<fs::path> files_in(const fs::path& folder, const std::string& ending) {
  std::vector<fs::path> out;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    if (at->path().extension() == ending && !at->path().filename().string().starts_with(".")) out.push_back(at->path());
  std::sort(out.begin(), out.end());
  return out;
}

std::string pixels_hash(const torch::Tensor& image) {
  const torch::Tensor pixels = image.contiguous();
  return sha256_text(std::string_view(static_cast<const char*>(pixels.const_data_ptr()), pixels.nbytes())).substr(0, 32);
}

}  // namespace

ordered_json describe_run(const RunSettings& settings, const ModelInfo& model, const std::string& ocr) {
  ordered_json out{{"schema", kSettingsSchema},
                   {"model", model.source},
                   {"model_hash", model.hash},
                   {"family", model.family},
                   {"dtype", model.dtype},
                   {"device", model.device},
                   {"ocr", ocr},
                   {"settings", settings.to_json()}};
  // Which adapters, however their files are called.
  for (const auto& one : model.adapters) {
    out["adapters"].push_back({{"sha256", one.hash}});
    add_keys(out["adapters"].back(), describe_strength(one));
  }
  if (!model.policy.is_null()) out["guard"] = model.policy;
  if (model.upscaler) out["upscaler"] = describe_upscaler(model);
  out["denoiser_parameters"] = model.table.denoiser_parameters;
  for (const auto& site : model.table.sites) out["sites"].push_back(describe_site(model.table, site.index));
  return out;
}

RunDescription read_description(const fs::path& run) {
  const fs::path file = run / "settings.json";
  return reading_json(file, [&] {
    const auto document = ordered_json::parse(read_text(file));
    RunDescription out;
    ModelInfo& model = out.model;
    document.at("model").get_to(model.source);
    model.hash = document.at("model_hash").get<std::string>();
    document.at("family").get_to(model.family);
    document.at("dtype").get_to(model.dtype);
    document.at("device").get_to(model.device);
    document.at("ocr").get_to(out.ocr);
    if (document.contains("adapters"))
      for (const auto& one : document["adapters"]) {
        model.adapters.push_back({"", one.at("sha256").get<std::string>(), one.at("strength").get<double>()});
        if (one.contains("site_strengths"))
          for (const auto& [site, strength] : one["site_strengths"].items()) model.adapters.back().sites[std::stoi(site)] = strength.get<double>();
      }
    if (document.contains("guard")) model.policy = document["guard"];
    if (document.contains("upscaler")) {
      auto second = std::make_shared<ModelInfo>();
      const auto& described = document["upscaler"];
      described.at("model").get_to(second->source);
      second->hash = described.at("model_hash").get<std::string>();
      described.at("guidance").get_to(second->default_guidance);
      described.at("scheduler").get_to(second->scheduler);
      model.upscaler = std::move(second);
    }
    document.at("denoiser_parameters").get_to(model.table.denoiser_parameters);
    for (const auto& one : document.at("sites")) {
      Site site;
      one.at("index").get_to(site.index);
      one.at("path").get_to(site.path);
      one.at("kohya").get_to(site.kohya);
      one.at("block").get_to(site.block);
      one.at("heads").get_to(site.heads);
      one.at("kv_parameters").get_to(site.kv_parameters);
      one.at("projections").get_to(site.projections);
      one.at("original").get_to(site.original);
      one.at("picture_kv").get_to(site.has_picture_kv);
      one.at("mlp").get_to(site.has_mlp);
      if (site.index != static_cast<int>(model.table.sites.size())) reject("the sites are not numbered in order", file.string());
      model.table.sites.push_back(std::move(site));
    }
    return out;
  });
}

RunFolder::RunFolder(fs::path folder, const ordered_json& settings) : folder_(std::move(folder)) {
  const fs::path file = folder_ / "settings.json";
  if (fs::exists(file)) {
    const auto schema = reading_json(file, [&] { return read_json(file).value("schema", std::string()); });
    if (schema != settings.value("schema", "") && schema.starts_with("glyphscope."))
      reject("the run was begun by an older Glyphscope, which kept its files in another way", folder_.string(),
             "Choose another " + option(Option::out) + " and begin it anew");
  }
  claim_folder(file, settings, "the folder holds a run with other settings, prompts or another model");
  fs::create_directories(folder_ / "questions");
  fs::create_directories(folder_ / "cells");
  fs::create_directories(folder_ / "pictures");
}

RunFolder::RunFolder(fs::path folder) : folder_(std::move(folder)) {
  const fs::path file = folder_ / "settings.json";
  if (!fs::exists(file))
    reject(fs::is_directory(folder_) ? "this folder holds no run: it has no settings.json" : "there is no such folder", folder_.string(),
           "A run is what a localization writes with " + option(Option::out));
  const auto schema = reading_json(file, [&] { return read_json(file).value("schema", std::string()); });
  if (!schema.starts_with("glyphscope.run-settings/")) reject("this folder holds no run: its settings.json is another program's", folder_.string());
  if (schema != kSettingsSchema)
    reject("the run is of a version of Glyphscope that keeps its files in another way (" + schema + ", here " + kSettingsSchema + ")", folder_.string(),
           "Read it with that version");
}

void RunFolder::ask(const Question& question) const {
  ordered_json variants = ordered_json::array(), cells = ordered_json::array();
  for (const auto& one : question.variants)
    variants.push_back({{"variant", one.label}, {"base", one.base == 0 ? "A" : "B"}, {"sites", one.sites()}, {"plan", one.plan.to_json()}});
  for (const auto& cell : question.cells) cells.push_back({cell.pair, cell.noise});
  const ordered_json document{{"schema", kQuestionSchema}, {"name", question.name}, {"title", question.title}, {"cells", cells},
                              {"variants", variants},      {"map", question.map}};
  claim_folder(folder_ / "questions" / (question.name + ".json"), document, "the run has another question of this name");
}

std::vector<Question> RunFolder::questions() const {
  std::vector<Question> out;
  for (const auto& file : files_in(folder_ / "questions", ".json"))
    out.push_back(reading_kept(file, [&] {
      const nlohmann::json document = read_json(file);
      if (document.at("schema") != kQuestionSchema) reject("this is no question of a run");
      Question question{document.at("name").get<std::string>(), document.at("title").get<std::string>(), {}, {}, document.at("map")};
      for (const auto& one : document.at("variants"))
        question.variants.push_back({one.at("variant").get<std::string>(), PatchPlan::from_json(one.at("plan")), one.at("base") == "B" ? 1 : 0});
      for (const auto& cell : document.at("cells")) question.cells.push_back({cell.at(0).get<int>(), cell.at(1).get<int>()});
      return question;
    }));
  return out;
}

fs::path RunFolder::cell_folder(const Cell& cell) const { return folder_ / "cells" / cell_name(cell); }

const std::vector<MeasuredVariant>& RunFolder::measured(const Cell& cell) {
  if (!read_.contains({cell.pair, cell.noise})) refresh(cell);
  return read_.at({cell.pair, cell.noise}).measured;
}

void RunFolder::refresh(const Cell& cell) {
  Read& read = read_[{cell.pair, cell.noise}];
  for (const auto& file : files_in(cell_folder(cell), ".json")) {
    if (read.files.contains(file.filename().string())) continue;
    const auto fresh = reading_kept(file, [&] {
      const nlohmann::json document = read_json(file);
      std::vector<MeasuredVariant> out;
      if (document.at("schema") != kCellSchema || document.at("pair") != cell.pair || document.at("noise") != cell.noise)
        reject("the kept result is damaged, or of another cell");
      for (const auto& one : document.at("measured")) {
        out.push_back(MeasuredVariant::from_json(one));
        // A score that was added since may be missing, but not what sites are chosen by.
        for (const char* needed : {"target_f1", "source_f1", "ssim_outside_text"})
          if (!out.back().scores.contains(needed)) reject("the kept result is damaged: " + out.back().variant.label + " has no score " + needed);
      }
      if (document.at("count") != out.size()) reject("the kept result is damaged: it has lost some of its variants");
      return out;
    });
    read.files[file.filename().string()] = true;
    read.measured.insert(read.measured.end(), fresh.begin(), fresh.end());
  }
}

bool RunFolder::has(const Cell& cell, const std::string& name) const { return fs::exists(cell_folder(cell) / (name + ".json")); }

void RunFolder::keep(const Cell& cell, const std::string& name, const std::vector<MeasuredVariant>& measured) {
  ordered_json list = ordered_json::array();
  for (const auto& one : measured) list.push_back(one.to_json());
  fs::create_directories(cell_folder(cell));
  write_json(cell_folder(cell) / (name + ".json"),
             {{"schema", kCellSchema}, {"pair", cell.pair}, {"noise", cell.noise}, {"question", name}, {"count", measured.size()}, {"measured", list}});
  Read& read = read_[{cell.pair, cell.noise}];
  if (!std::exchange(read.files[name + ".json"], true)) read.measured.insert(read.measured.end(), measured.begin(), measured.end());
}

fs::path RunFolder::gradient_file(const Cell& cell, int from_step, Towards towards) const {
  return folder_ / "gradients" / (cell_name(cell) + "-from" + std::to_string(from_step) + (towards == Towards::reader ? "-reader.json" : ".json"));
}

std::optional<SiteGradients> RunFolder::gradients(const Cell& cell, int from_step, Towards towards, size_t sites) const {
  const fs::path file = gradient_file(cell, from_step, towards);
  if (!fs::exists(file)) return std::nullopt;
  return reading_kept(file, [&] {
    const nlohmann::json document = read_json(file);
    if (document.at("schema") != kGradientSchema || document.at("pair") != cell.pair || document.at("noise") != cell.noise ||
        document.at("from_step") != from_step || (sites > 0 && document.at("effects").size() != sites))
      reject("these are no gradients, or of another cell or model");
    SiteGradients out;
    document.at("effects").get_to(out.effects);
    document.at("denoiser_rows").get_to(out.denoiser_rows);
    document.at("picture_rows").get_to(out.picture_rows);
    return out;
  });
}

bool RunFolder::keep_gradients(const Cell& cell, int from_step, Towards towards, const SiteGradients& gradients) const {
  fs::create_directories(folder_ / "gradients");
  return write_json_once(gradient_file(cell, from_step, towards), {{"schema", kGradientSchema},
                                                                   {"pair", cell.pair},
                                                                   {"noise", cell.noise},
                                                                   {"from_step", from_step},
                                                                   {"effects", gradients.effects},
                                                                   {"denoiser_rows", gradients.denoiser_rows},
                                                                   {"picture_rows", gradients.picture_rows}});
}

std::string RunFolder::keep_picture(const torch::Tensor& image, const ordered_json& metadata) const {
  std::string file = "pictures/" + pixels_hash(image) + ".png";
  if (!fs::exists(folder_ / file)) write_png(folder_ / file, image, metadata);
  return file;
}

std::optional<torch::Tensor> RunFolder::picture(const std::string& file) const {
  if (!fs::exists(folder_ / file)) return std::nullopt;
  torch::Tensor image = read_image(folder_ / file);
  if (fs::path(file).stem() != pixels_hash(image))
    reject("the picture is not the one that was measured", (folder_ / file).string(), "Delete the file to have it drawn again");
  return image;
}

std::string kept_picture(const fs::path& run, const Cell& cell, const MeasuredVariant& measured) {
  std::error_code error;
  if (!measured.picture.empty()) return fs::exists(run / measured.picture, error) ? measured.picture : std::string();
  const fs::path images = fs::path("images") / ("pair" + std::to_string(cell.pair) + "-noise" + std::to_string(cell.noise));
  for (const auto& question : fs::directory_iterator(run / images, error)) {
    const fs::path file = images / question.path().filename() / ("patched-" + measured.variant.label + ".png");
    if (!fs::exists(run / file, error)) continue;
    // A label may be another question's too.
    const auto made = nlohmann::json::parse(read_png_metadata(run / file), nullptr, /*allow_exceptions=*/false);
    if (made.is_object() && made.value("plan", nlohmann::json()) == nlohmann::json(measured.variant.plan.to_json()) &&
        made.value("prompt", -1) == measured.variant.base)
      return file.string();
  }
  return {};
}

namespace {

// What of a run's folder is its own, relative to it.
std::vector<fs::path> parts_of(const fs::path& run) {
  std::vector<fs::path> out;
  for (const char* name : {"asked-localization.json", "asked-certificate.json"})
    if (fs::exists(run / name)) out.emplace_back(name);
  for (const char* folder : {"questions", "cells", "gradients", "pictures", "images"})
    if (fs::is_directory(run / folder))
      for (const auto& entry : fs::recursive_directory_iterator(run / folder))
        if (entry.is_regular_file() && !entry.path().filename().string().starts_with(".")) out.push_back(fs::relative(entry.path(), run));
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

void merge_runs(const std::vector<fs::path>& runs, const fs::path& out) {
  std::optional<ordered_json> settings;
  std::map<fs::path, fs::path> from;  // by what it is, in which run it is
  for (const auto& run : runs) {
    const fs::path file = run / "settings.json";
    if (!fs::exists(file)) reject("there is no run in this folder", run.string(), "A run's folder has a settings.json");
    const auto document = reading_json(file, [&] {
      auto read = ordered_json::parse(read_text(file));
      if (read.value("schema", "") != kSettingsSchema) reject("this is not the settings of a run, or of an older Glyphscope", file.string());
      return read;
    });
    if (run.empty() || out.empty()) reject("a run needs the name of a folder", option(Option::out));
    if (!settings) settings = document;
    // Says what differs.
    if (nlohmann::json(document) != nlohmann::json(*settings)) claim_folder(file, *settings, "the runs have other settings, prompts or another model");
    for (const auto& part : parts_of(run)) from.try_emplace(part, run);
  }
  if (!settings) reject("there are no runs to merge");
  const auto differ = [&](const fs::path& part, const fs::path& one, const fs::path& other) {
    // A picture's name says what is in it; what is beside the pixels may differ.
    if (part.extension() == ".json" && read_text(one / part) != read_text(other / part))
      reject("two runs answer differently: " + (one / part).string() + " and " + (other / part).string(), part.string(),
             "One of them is damaged, or was computed elsewhere; delete that one");
  };
  for (const auto& run : runs)
    for (const auto& part : parts_of(run)) differ(part, from.at(part), run);
  for (const auto& [part, run] : from)
    if (fs::exists(out / part)) differ(part, out, run);
  const RunFolder merged(out, *settings);
  for (const auto& [part, run] : from) {
    if (fs::exists(out / part)) continue;
    fs::create_directories((out / part).parent_path());
    const fs::path whole = run / part;
    write_atomically(out / part, [&](const fs::path& temporary) { fs::copy_file(whole, temporary, fs::copy_options::overwrite_existing); });
  }
}

std::vector<std::string> missing_cells(RunFolder& run) {
  std::vector<std::string> out;
  for (const auto& question : run.questions())
    for (const auto& cell : question.cells) {
      const auto& measured = run.measured(cell);
      const bool whole = std::all_of(question.variants.begin(), question.variants.end(), [&](const Variant& variant) {
        return std::any_of(measured.begin(), measured.end(), [&](const auto& one) { return one.variant == variant; });
      });
      if (!whole) out.push_back("pair " + std::to_string(cell.pair) + ", noise " + std::to_string(cell.noise) + ": " + question.name);
    }
  return out;
}

}  // namespace glyphscope
