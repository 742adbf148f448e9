#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace glyphscope {

// In place of ordered_json's own erase and update: both move keys in memory, and in nlohmann_json 3.11.2 a value that was moved so has lost its parent:
// errors no longer tell its place, and debug builds abort.

/// A copy of an object without one of its keys, in the same order.
inline nlohmann::ordered_json without_key(const nlohmann::ordered_json& object, const std::string& key) {
  auto out = nlohmann::ordered_json::object();
  for (const auto& [name, value] : object.items())
    if (name != key) out[name] = value;
  return out;
}

/// Sets the keys of `from` in `into`, which is an object or null.
inline void add_keys(nlohmann::ordered_json& into, const nlohmann::ordered_json& from) {
  for (const auto& [key, value] : from.items()) into[key] = value;
}

}  // namespace glyphscope
