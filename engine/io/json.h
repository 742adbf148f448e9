#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace glyphscope {

/// A copy of an object without one of its keys, in the same order. Use it instead of ordered_json::erase: that moves the keys behind, and in
/// nlohmann_json 3.11.2 a value that was moved has lost its parent, so that errors no longer tell its place (and debug builds abort).
inline nlohmann::ordered_json without_key(const nlohmann::ordered_json& object, const std::string& key) {
  auto out = nlohmann::ordered_json::object();
  for (const auto& [name, value] : object.items())
    if (name != key) out[name] = value;
  return out;
}

}  // namespace glyphscope
