#include "text/byte_pairs.h"

#include <algorithm>
#include <limits>
#include <sstream>

#include "core/error.h"
#include "core/unicode.h"
#include "io/files.h"

namespace glyphscope {
namespace fs = std::filesystem;

BytePairs BytePairs::read(const fs::path& folder) {
  BytePairs out;
  auto read_vocabulary = [&](const nlohmann::json& json, const fs::path& file) {
    if (!json.is_object()) reject("the vocabulary is not a JSON object", file.string());
    for (const auto& [token, value] : json.items()) {
      if (!value.is_number_unsigned()) reject("the id of token '" + token + "' is no whole number", file.string());
      out.vocabulary[token] = value.get<std::int64_t>();
    }
  };
  auto add_merge = [&](const std::string& line, const fs::path& file, size_t number) {
    const auto space = line.find(' ');
    if (space == std::string::npos || line.find(' ', space + 1) != std::string::npos)
      reject("line " + std::to_string(number) + " is no pair of tokens: '" + line + "'", file.string());
    out.merges.emplace_back(line.substr(0, space), line.substr(space + 1));
  };

  const fs::path whole = folder / "tokenizer.json", words = folder / "vocab.json", pairs = folder / "merges.txt";
  if (fs::exists(words) && fs::exists(pairs)) {
    read_vocabulary(read_json(words), words);
    std::istringstream lines(read_text(pairs));
    std::string line;
    for (size_t number = 1; std::getline(lines, line); ++number) {
      if (line.ends_with('\r')) line.pop_back();
      if (line.empty() || line.starts_with("#version")) continue;
      add_merge(line, pairs, number);
    }
  } else if (fs::exists(whole)) {
    const nlohmann::json json = read_json(whole);
    reading_json(whole, [&] {
      if (!json.contains("model") || !json["model"].contains("vocab") || !json["model"].contains("merges"))
        reject("there is no BPE model in it", whole.string());
      read_vocabulary(json["model"]["vocab"], whole);
      size_t number = 0;
      for (const auto& merge : json["model"]["merges"]) {
        ++number;
        if (merge.is_array() && merge.size() == 2) {
          out.merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
        } else {
          add_merge(merge.get<std::string>(), whole, number);
        }
      }
      if (json.contains("added_tokens"))
        for (const auto& token : json["added_tokens"]) {
          if (token.at("content").get<std::string>().empty()) reject("an added token is empty", whole.string());
          out.vocabulary[token.at("content").get<std::string>()] = token.at("id").get<std::int64_t>();
          out.added[token.at("content").get<std::string>()] = token.value("normalized", false);
        }
    });
  } else {
    reject("vocab.json and merges.txt are missing", folder.string(), "A diffusers folder has them in its subfolder 'tokenizer'");
  }
  return out;
}

const std::array<std::string, 256>& byte_letters() {
  static const std::array<std::string, 256> letters = [] {
    std::array<std::string, 256> out;
    char32_t next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE);
      append_utf8(out[static_cast<size_t>(byte)], printable ? static_cast<char32_t>(byte) : next++);
    }
    return out;
  }();
  return letters;
}

std::unordered_map<std::string, int> merge_ranks(const std::vector<std::pair<std::string, std::string>>& merges) {
  std::unordered_map<std::string, int> out;
  for (size_t i = 0; i < merges.size(); ++i) out.emplace(merges[i].first + " " + merges[i].second, static_cast<int>(i));
  return out;
}

std::vector<std::string> merge_pairs(std::vector<std::string> parts, const std::unordered_map<std::string, int>& ranks) {
  while (parts.size() > 1) {
    int best = std::numeric_limits<int>::max();
    for (size_t i = 0; i + 1 < parts.size(); ++i)
      if (auto found = ranks.find(parts[i] + " " + parts[i + 1]); found != ranks.end()) best = std::min(best, found->second);
    if (best == std::numeric_limits<int>::max()) break;
    std::vector<std::string> merged;
    for (size_t i = 0; i < parts.size(); ++i) {
      auto found = i + 1 < parts.size() ? ranks.find(parts[i] + " " + parts[i + 1]) : ranks.end();
      if (found != ranks.end() && found->second == best) {
        merged.push_back(parts[i] + parts[i + 1]);
        ++i;
      } else {
        merged.push_back(parts[i]);
      }
    }
    parts = std::move(merged);
  }
  return parts;
}

}  // namespace glyphscope
