#include "adapt/adapter_settings.h"

#include <charconv>
#include <cmath>
#include <filesystem>

#include "core/error.h"
#include "io/files.h"

namespace glyphscope {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

AdapterSettings::AdapterSettings(const SafetensorsFile& file, const std::string& component, bool peft, std::vector<std::string>& notes)
    : where_(file.path().string()) {
  const fs::path beside = file.path().parent_path() / "adapter_config.json";
  ordered_json all = ordered_json::object();  // of several patterns that match, the first counts
  if (const auto found = file.metadata().find(kAdapterSettings); found != file.metadata().end()) {
    all = ordered_json::parse(found->second, nullptr, /*allow_exceptions=*/false);
    if (!all.is_object()) reject(std::string("the metadata '") + kAdapterSettings + "' is no JSON object", where_, "The file is damaged");
  } else if (peft && fs::exists(beside)) {
    all = ordered_json::parse(read_text(beside), nullptr, /*allow_exceptions=*/false);
    if (!all.is_object()) reject("this is no JSON object", beside.string(), "It is to hold PEFT's settings of the adapter");
  } else if (peft) {
    notes.push_back("There is no adapter_config.json beside " + where_ + ": each layer's alpha is taken to be its rank");
  }
  // diffusers writes a pipeline's settings with the component's name before each, a single model's without.
  std::string prefix = component + ".";
  bool prefixed = false;
  for (const auto& [key, _] : all.items()) prefixed |= key.starts_with(prefix);
  if (!prefixed) prefix.clear();
  auto take = [&](const char* name) { return all.contains(prefix + name) ? all[prefix + name] : ordered_json(); };
  if (const auto value = take("lora_alpha"); !value.is_null()) alpha_ = number(prefix + "lora_alpha", value);
  // Some trainers write it as a key of the header's own, with or without the component's name; so rank-stabilised alphas are told too.
  for (const std::string& key : {component + ".lora_alpha", std::string("lora_alpha")})
    if (const auto found = file.metadata().find(key); !alpha_ && found != file.metadata().end()) {
      alpha_ = header_number(key, found->second);
      notes.push_back("The header's " + key + " of " + found->second + " is each layer's alpha: " + where_);
    }
  for (const std::string& key : {component + ".use_rslora", std::string("use_rslora")})
    if (const auto found = file.metadata().find(key); found != file.metadata().end() && (found->second == "true" || found->second == "True"))
      rank_stabilised_ = true;
  if (const auto value = take("alpha_pattern"); !value.is_null()) {
    if (!value.is_object()) reject("'" + prefix + "alpha_pattern' is " + value.dump().substr(0, 60) + ", patterns and numbers were expected", where_);
    for (const auto& [pattern, alpha] : value.items()) add_pattern(pattern, number(prefix + "alpha_pattern " + pattern, alpha));
  }
  rank_stabilised_ |= take("use_rslora") == ordered_json(true);
  dora_ = take("use_dora") == ordered_json(true);
  // PEFT's LoHa and LoKr call it alpha, and their rank is not always to be seen.
  if (const auto type = take("peft_type"); type.is_string() && (type == "LOHA" || type == "LOKR")) {
    if (const auto value = take("alpha"); !value.is_null()) alpha_ = number(prefix + "alpha", value);
    if (const auto value = take("r"); !value.is_null()) rank_ = number(prefix + "r", value);
  }
  // PEFT's default is the series of five; files of before it had one hold no such key.
  if (const auto type = take("peft_type"); type == ordered_json("OFT")) {
    of_rotations_ = true;
    if (take("use_cayley_neumann") == ordered_json(true)) {
      const auto terms = take("num_cayley_neumann_terms");
      series_terms_ = terms.is_null() ? 5 : static_cast<int>(number(prefix + "num_cayley_neumann_terms", terms));
      if (series_terms_ < 1 || series_terms_ > 1000) reject("'num_cayley_neumann_terms' is " + terms.dump() + ", 1 to 1000 were expected", where_);
    }
    if (take("coft") == ordered_json(true)) {
      const auto eps = take("eps");
      largest_turn_ = eps.is_null() ? 6e-5 : number(prefix + "eps", eps);
    }
  }
  if (const auto init = take("init_lora_weights"); init.is_string())
    for (const char* method : {"pissa", "olora", "corda", "loftq", "lora_ga"})
      if (init.get<std::string>().starts_with(method))
        reject("the adapter was started by " + init.get<std::string>() + ", which changes the model's own weights too", where_,
               "Convert it to plain LoRA in PEFT (path_initial_model_for_weight_conversion)");
}

double AdapterSettings::alpha(const std::string& path, std::int64_t rank) const {
  double out = alpha_.value_or(static_cast<double>(rank));
  for (const auto& pattern : patterns_) {
    if (!matches(pattern, path)) continue;
    out = pattern.alpha;
    break;
  }
  return rank_stabilised_ ? out * std::sqrt(static_cast<double>(rank)) : out;
}

double AdapterSettings::header_number(const std::string& key, const std::string& text) const {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
    reject("the header's " + key + " is '" + text.substr(0, 60) + "', which is no number", where_, "The file is damaged");
  return value;
}

double AdapterSettings::number(const std::string& key, const ordered_json& value) const {
  if (!value.is_number()) reject("'" + key + "' is " + value.dump().substr(0, 60) + ", a number was expected", where_, "The adapter's settings are damaged");
  return value.get<double>();
}

// As PEFT's `get_pattern_key` matches them.
void AdapterSettings::add_pattern(const std::string& pattern, double alpha) {
  UErrorCode error = U_ZERO_ERROR;
  UParseError place;
  std::unique_ptr<icu::RegexPattern> compiled(icu::RegexPattern::compile(icu::UnicodeString::fromUTF8("(.*\\.)?(" + pattern + ")"), 0, place, error));
  if (U_FAILURE(error)) reject("the pattern '" + pattern + "' of the adapter's alphas cannot be read", where_);
  patterns_.push_back({pattern, std::move(compiled), alpha});
}

// A pattern is a stranger's: some take longer than a life.
bool AdapterSettings::matches(const Pattern& pattern, const std::string& path) const {
  constexpr int kLongest = 100, kStack = 1 << 20;  // some milliseconds; bytes
  UErrorCode error = U_ZERO_ERROR;
  const icu::UnicodeString text = icu::UnicodeString::fromUTF8(path);
  const std::unique_ptr<icu::RegexMatcher> matcher(pattern.compiled->matcher(text, error));
  if (matcher) {
    matcher->setTimeLimit(kLongest, error);
    matcher->setStackLimit(kStack, error);
  }
  const bool out = matcher && matcher->matches(error);
  if (U_FAILURE(error)) reject("the pattern '" + pattern.text + "' of the adapter's alphas takes too long on '" + path + "'", where_, "Write it more simply");
  return out;
}

}  // namespace glyphscope
