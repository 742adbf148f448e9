#include "editing/guard_log.h"

#include <limits>
#include <sstream>

#include "io/files.h"

namespace glyphscope {

namespace {

std::string text_at(const nlohmann::json& json, const std::string& name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}
// In clear text or as its hash.
std::string text_of(const nlohmann::json& json, const std::string& name) {
  if (const auto more = json.find("more"); more != json.end() && more->is_number()) return "and " + more->dump() + " more";
  return json.contains(name) ? text_at(json, name) : text_at(json, name + "_sha256");
}

std::string cell(const std::string& text) {
  std::string out = "\"";
  // A spreadsheet would compute it.
  if (!text.empty() && std::string("=+-@\t\r").find(text[0]) != std::string::npos) out += '\'';
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

}  // namespace

GuardLog read_guard_log(const std::filesystem::path& file, const std::string& expected_last) {
  GuardLog out{check_audit_log(file, expected_last), {}};
  std::istringstream lines(read_text(file, std::numeric_limits<std::uintmax_t>::max()));
  std::string text;
  for (std::int64_t line = 1; line <= out.check.lines && std::getline(lines, text); ++line) {
    const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    const auto images = json.find("images");
    if (images == json.end() || !images->is_array()) continue;
    for (const auto& image : *images) {
      GuardLogRow row;
      row.line = line;
      row.time = text_at(json, "time");
      row.model = text_at(json, "model");
      row.prompt = text_of(image, "prompt");
      if (const auto matched = image.find("matched"); matched != image.end())
        for (const auto& term : *matched) row.matched.push_back(text_of(term, "term"));
      row.done = text_at(image, "done");
      row.read = text_of(image, "read");
      if (const auto found = image.find("terms_read"); found != image.end() && found->is_array())
        for (const auto& term : *found) row.terms_read.push_back(text_of(term, "term"));
      if (const auto seed = image.find("seed"); seed != image.end() && seed->is_number()) row.seed = seed->get<std::uint64_t>();
      row.image_sha256 = text_at(image, "image_sha256");
      out.rows.push_back(std::move(row));
    }
  }
  return out;
}

std::string guard_log_csv(const std::vector<GuardLogRow>& rows) {
  std::string out = "line,time,model,prompt,matched,done,read,terms_read,seed,image_sha256\n";
  const auto joined = [](const std::vector<std::string>& terms) {
    std::string text;
    for (const auto& term : terms) text += (text.empty() ? "" : " ") + term;
    return cell(text);
  };
  for (const auto& row : rows) {
    out += std::to_string(row.line) + "," + cell(row.time) + "," + cell(row.model) + "," + cell(row.prompt) + "," + joined(row.matched) + "," + cell(row.done) +
           "," + cell(row.read) + "," + joined(row.terms_read) + "," + std::to_string(row.seed) + "," + cell(row.image_sha256) + "\n";
  }
  return out;
}

}  // namespace glyphscope
