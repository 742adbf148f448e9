#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace glyphscope {

/// A component's configuration (`config.json` of a diffusers or transformers folder), read with errors that name file and key.
class Config {
 public:
  Config(nlohmann::json document, std::string where);
  static Config read(const std::filesystem::path& file);

  const std::string& where() const { return where_; }
  /// Whether the key is there and not null.
  bool has(const std::string& key) const;

  std::int64_t integer(const std::string& key, std::int64_t fallback) const;
  /// Within [low, high]; the fallback is not looked at.
  double number(const std::string& key, double fallback, double low = -1e6, double high = 1e6) const;
  bool boolean(const std::string& key, bool fallback) const;
  std::string text(const std::string& key, const std::string& fallback) const;
  /// A list of numbers that must be there.
  std::vector<double> numbers(const std::string& key) const;
  std::vector<std::string> texts(const std::string& key) const;
  /// A list of integers, or one integer repeated `count` times.
  std::vector<std::int64_t> integers(const std::string& key, size_t count, std::int64_t fallback) const;

  /// Throws if the key is there with another value than `only`: an option whose other values are not supported.
  void require(const std::string& key, const nlohmann::json& only) const;
  /// An integer in [low, high], so that a lying configuration cannot ask for absurd memory.
  std::int64_t size(const std::string& key, std::int64_t fallback, std::int64_t low = 1, std::int64_t high = 1 << 20) const;

  /// The object under this key; an empty one where there is none.
  Config part(const std::string& key) const;

  const nlohmann::json& json() const { return document_; }

 private:
  const nlohmann::json* find(const std::string& key) const;
  [[noreturn]] void wrong(const std::string& key, const std::string& expected) const;
  nlohmann::json document_;
  std::string where_;
};

}  // namespace glyphscope
