#include "experiments/card.h"

#include <algorithm>
#include <regex>

#include "core/error.h"
#include "io/files.h"
#include "io/weights.h"
#include "pipelines/kohya_names.h"

namespace glyphscope {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

// A pattern that matches this path and no other, for Python's re.match and re.search.
std::string exact_pattern(const std::string& path) {
  std::string out = "^";
  for (const char letter : path) out += letter == '.' ? std::string("\\.") : std::string(1, letter);
  return out + "$";
}

// How ComfyUI's patches address a block: of a U-Net by part, number and transformer within it; of a transformer by kind and number. Null: not known.
ordered_json comfy_block(const std::string& original) {
  static const std::regex u_net(R"((input|output)_blocks\.([0-9]+)\.1\.transformer_blocks\.([0-9]+)\..*)"),
      middle(R"(middle_block\.1\.transformer_blocks\.([0-9]+)\..*)"), joint(R"((?:joint|double)_blocks\.([0-9]+)\..*)"),
      single(R"(single_blocks\.([0-9]+)\..*)");
  std::smatch found;
  const auto number = [&](size_t group) { return std::stoi(found[group]); };
  if (std::regex_match(original, found, u_net)) return {found[1].str(), number(2), number(3)};
  if (std::regex_match(original, found, middle)) return {"middle", 0, number(1)};
  if (std::regex_match(original, found, joint)) return {"double_block", number(1)};
  if (std::regex_match(original, found, single)) return {"single_block", number(1)};
  return nullptr;
}

}  // namespace

Card read_card(const fs::path& file) {
  const std::string text = read_text(file);
  Card out;
  out.sha256 = sha256_text(text);
  out.document = read_json(file);  // its errors name the place
  reading_json(file, [&] {
    out.document = ordered_json::parse(text);
    const std::string schema = out.document.is_object() ? out.document.value("schema", "") : "";
    if (schema != "glyphscope.card/1")
      reject("this is no localization card" + (schema.empty() ? std::string() : ", but '" + schema + "'"), file.string(),
             "A card is the card.json that a certified localization writes");
    const auto& document = out.document;
    document.at("model").at("source").get_to(out.model);
    document.at("model").at("hash").get_to(out.model_hash);
    for (const auto& one : document.at("sites")) {
      Site site;
      one.at("index").get_to(site.index);
      one.at("path").get_to(site.path);
      one.at("kohya").get_to(site.kohya);
      one.at("projections").get_to(site.projections);
      site.original = one.value("original", std::vector<std::string>());
      out.sites.push_back(std::move(site));
    }
    // The run's settings and what was asked of it stand side by side.
    ordered_json run = ordered_json::object();
    const ordered_json questions = CertifySettings().question();
    for (const auto& [key, value] : document.at("settings").items())
      if (!questions.contains(key) && key != "given") run[key] = value;
    out.settings = CertifySettings::from_json(nlohmann::json(run), nlohmann::json(document["settings"]), file.string());
    return 0;
  });
  if (out.sites.empty()) reject("the card says that no set of sites keeps the text: there is nothing to take from it", file.string());
  return out;
}

std::vector<int> sites_of(const Card& card, const SiteTable& table) {
  std::vector<int> out;
  for (const Site& wanted : card.sites) {
    const auto found = std::find_if(table.sites.begin(), table.sites.end(), [&](const Site& one) { return one.path == wanted.path; });
    if (found == table.sites.end())
      reject("the model has no layer '" + wanted.path + "', which the card of " + card.model + " names", wanted.path,
             "A card is tested on models of the same architecture");
    out.push_back(found->index);
  }
  std::sort(out.begin(), out.end());
  return out;
}

ordered_json transfer_of(const Card& card) {
  const auto& document = card.document;
  ordered_json out{{"card_sha256", card.sha256}};
  for (const char* key : {"model", "share", "verdict", "source", "target"}) out[key] = document.at(key);
  for (const auto& set : document.at("evidence").at("sets"))
    if (set.at("role") != "subset") out["sets"].push_back({{"role", set.at("role")}, {"sites", set.at("sites")}, {"scores", set.at("scores")}});
  // With sorted keys, as it comes back from a run's folder.
  return ordered_json(nlohmann::json(out));
}

LayerNames layer_names(const std::vector<Site>& sites) {
  LayerNames out;
  for (const Site& site : sites) {
    std::vector<std::string> own;
    for (const auto& projection : site.projections) own.push_back(site.path + "." + projection);
    out.diffusers.insert(out.diffusers.end(), own.begin(), own.end());
    out.original.insert(out.original.end(), site.original.begin(), site.original.end());
    if (site.kohya.empty()) continue;
    // Its modules have either's names, which its files spell without dots.
    const bool by_original = !site.original.empty() && ("lora_unet_" + underscored(site.original.front())).starts_with(site.kohya);
    const auto& names = by_original ? site.original : own;
    out.trainer.insert(out.trainer.end(), names.begin(), names.end());
  }
  return out;
}

std::vector<std::string> export_card(const Card& card, const fs::path& folder) {
  const LayerNames names = layer_names(card.sites);
  const OutputFolder out(folder);
  std::vector<std::string> written{"peft.json", "onetrainer.json"};
  write_json(out / "peft.json", {{"target_modules", names.diffusers}});
  std::string filter;
  for (const auto& name : names.diffusers) filter += (filter.empty() ? "" : ",") + exact_pattern(name);
  write_json(out / "onetrainer.json", {{"layer_filter", filter}, {"layer_filter_preset", "custom"}, {"layer_filter_regex", true}});
  if (!names.trainer.empty()) {
    std::string preset =
        "# The sites of a localization card of " + card.model_hash +
        ", for kohya-ss/sd-scripts:\n# network_module = \"lycoris.kohya\", network_args = [\"preset=lycoris.toml\"], network_train_unet_only = true\n"
        "enable_conv = false\nunet_target_module = []\nunet_target_name = [\n";
    for (const auto& name : names.trainer) preset += "  '" + exact_pattern(name) + "',\n";
    preset += "]\ntext_encoder_target_module = []\ntext_encoder_target_name = []\n";
    write_text(out / "lycoris.toml", preset);
    written.push_back("lycoris.toml");
  }
  if (!names.original.empty()) {
    ordered_json layers = ordered_json::array();
    for (const auto& name : names.original) layers.push_back({{"layer", "diffusion_model." + name}, {"block", comfy_block(name)}});
    write_json(out / "comfyui.json", {{"schema", "glyphscope.comfyui-layers/1"}, {"model_hash", card.model_hash}, {"layers", layers}});
    written.push_back("comfyui.json");
  }
  return written;
}

}  // namespace glyphscope
