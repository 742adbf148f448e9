#include "io/config.h"

#include <algorithm>

#include "core/error.h"
#include "io/files.h"

namespace glyphscope {

Config::Config(nlohmann::json document, std::string where) : document_(std::move(document)), where_(std::move(where)) {
  if (!document_.is_object()) reject("a configuration must be a JSON object", where_);
}

Config Config::read(const std::filesystem::path& file) { return {read_json(file), file.string()}; }

const nlohmann::json* Config::find(const std::string& key) const {
  auto found = document_.find(key);
  return found == document_.end() || found->is_null() ? nullptr : &*found;
}

bool Config::has(const std::string& key) const { return find(key) != nullptr; }

void Config::wrong(const std::string& key, const std::string& expected) const {
  reject("'" + key + "' is " + document_.at(key).dump() + ", expected " + expected, where_);
}

std::int64_t Config::integer(const std::string& key, std::int64_t fallback) const {
  const auto* value = find(key);
  if (!value) return fallback;
  if (!value->is_number_integer()) wrong(key, "a whole number");
  return value->get<std::int64_t>();
}

double Config::number(const std::string& key, double fallback, double low, double high) const {
  const auto* value = find(key);
  if (!value) return fallback;
  if (!value->is_number()) wrong(key, "a number");
  const double number = value->get<double>();
  if (!(number >= low && number <= high)) wrong(key, "a number from " + nlohmann::json(low).dump() + " to " + nlohmann::json(high).dump());
  return number;
}

bool Config::boolean(const std::string& key, bool fallback) const {
  const auto* value = find(key);
  if (!value) return fallback;
  if (!value->is_boolean()) wrong(key, "true or false");
  return value->get<bool>();
}

std::string Config::text(const std::string& key, const std::string& fallback) const {
  const auto* value = find(key);
  if (!value) return fallback;
  if (!value->is_string()) wrong(key, "a text");
  return value->get<std::string>();
}

std::vector<double> Config::numbers(const std::string& key) const {
  const auto* value = find(key);
  if (!value) reject("'" + key + "' is missing", where_);
  if (!value->is_array() || value->empty() || !std::all_of(value->begin(), value->end(), [](const auto& one) { return one.is_number(); }))
    reject("'" + key + "' is no list of numbers", where_);
  return value->get<std::vector<double>>();
}

std::vector<std::string> Config::texts(const std::string& key) const {
  const auto* value = find(key);
  if (!value) reject("'" + key + "' is missing", where_);
  std::vector<std::string> out;
  if (!value->is_array() || value->size() > 64) wrong(key, "a list of texts");
  for (const auto& item : *value) {
    if (!item.is_string()) wrong(key, "a list of texts");
    out.push_back(item.get<std::string>());
  }
  return out;
}

std::vector<std::int64_t> Config::integers(const std::string& key, size_t count, std::int64_t fallback) const {
  const auto* value = find(key);
  if (!value) return std::vector<std::int64_t>(count, fallback);
  if (value->is_number_integer()) return std::vector<std::int64_t>(count, value->get<std::int64_t>());
  if (!value->is_array() || value->size() != count) wrong(key, "a whole number or a list of " + std::to_string(count));
  std::vector<std::int64_t> out;
  for (const auto& item : *value) {
    if (!item.is_number_integer()) wrong(key, "a list of whole numbers");
    out.push_back(item.get<std::int64_t>());
  }
  return out;
}

void Config::require(const std::string& key, const nlohmann::json& only) const {
  const auto* value = find(key);
  if (value && *value != only) reject("'" + key + "' is " + value->dump() + "; Glyphscope supports " + only.dump() + " only", where_);
}

std::int64_t Config::size(const std::string& key, std::int64_t fallback, std::int64_t low, std::int64_t high) const {
  const std::int64_t value = integer(key, fallback);
  if (value < low || value > high)
    reject("'" + key + "' is " + std::to_string(value) + ", expected " + std::to_string(low) + " to " + std::to_string(high), where_);
  return value;
}

Config Config::part(const std::string& key) const {
  return {document_.contains(key) && document_[key].is_object() ? document_[key] : nlohmann::json::object(), where_ + ": " + key};
}

}  // namespace glyphscope
