#include "adapt/caption_list.h"

#include <csv.h>

#include <algorithm>
#include <array>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/files.h"
#include "io/image_file.h"
#include "io/text_file.h"

namespace glyphscope {
namespace fs = std::filesystem;

namespace {

constexpr std::uintmax_t kLargestList = std::uintmax_t{256} << 20;
// The column of captions has no fixed name; these are the usual ones, the first that says something counts.
constexpr std::array<const char*, 3> kCaptionColumns{"text", "caption", "prompt"};

// What a line says: the values of its columns, or what is wrong with it. Its number counts from 1.
using Values = std::map<std::string, std::string>;
struct Line {
  size_t number = 0;
  Values values;
  std::string fault;
};

std::vector<Line> json_lines(const fs::path& file) {
  std::vector<Line> out;
  size_t number = 0;
  for (const std::string& text : read_lines(file, kLargestList)) {
    ++number;
    if (trimmed(text).empty()) continue;
    Line& line = out.emplace_back(Line{number, {}, {}});
    // Python writes NaN and its like.
    const auto json = nlohmann::json::parse(without_bare_infinities(text), nullptr, /*allow_exceptions=*/false);
    if (json.is_object()) {
      for (const auto& [key, value] : json.items()) {
        if (value.is_string()) line.values[key] = value.get<std::string>();
      }
      const auto says = [&](const char* key) { return line.values.contains(key); };
      for (const char* key : kCaptionColumns)
        if (json.contains(key) && json[key].is_array() && std::none_of(kCaptionColumns.begin(), kCaptionColumns.end(), says))
          line.fault = std::string("its '") + key + "' is a list, one caption was expected";
    }
    if (!line.values.contains("file_name")) line.fault = "no JSON object with a file_name";
  }
  return out;
}

// A table's rows; a quoted value may go over several lines. Source: RFC 4180.
std::vector<Line> table_rows(const fs::path& file) {
  struct Reading {
    std::vector<std::vector<std::string>> rows{1};
    std::vector<size_t> lines;  // on which each row ends
    size_t line = 1;
  } reading;
  csv_parser parser;
  if (csv_init(&parser, 0) != 0) throw std::bad_alloc();
  const std::unique_ptr<csv_parser, void (*)(csv_parser*)> held(&parser, csv_free);
  const auto value = [](void* text, size_t size, void* to) { static_cast<Reading*>(to)->rows.back().emplace_back(static_cast<const char*>(text), size); };
  const auto row = [](int, void* to) {
    auto& all = *static_cast<Reading*>(to);
    all.lines.push_back(all.line);
    all.rows.emplace_back();
  };
  // A line at a time, so that a row's place is known.
  for (const std::string& text : read_lines(file, kLargestList)) {
    const std::string whole = text + "\n";
    if (csv_parse(&parser, whole.data(), whole.size(), value, row, &reading) != whole.size()) reject(csv_strerror(csv_error(&parser)), file.string());
    ++reading.line;
  }
  const size_t whole = reading.lines.size();
  csv_fini(&parser, value, row, &reading);
  if (reading.lines.size() != whole) reject("the table ends within a value in quotes", file.string(), "Close the quotes, or get the file again");
  reading.rows.pop_back();
  if (reading.rows.empty()) return {};
  const auto& columns = reading.rows[0];
  if (std::find(columns.begin(), columns.end(), "file_name") == columns.end())
    reject("the table has no column file_name", file.string(), "Its first row names the columns: file_name,text");
  std::vector<Line> out;
  for (size_t i = 1; i < reading.rows.size(); ++i) {
    const auto& values = reading.rows[i];
    Line& line = out.emplace_back(Line{reading.lines[i], {}, {}});
    if (values.size() != columns.size())
      line.fault = std::to_string(values.size()) + " values, where the first row names " + std::to_string(columns.size()) +
                   " columns (put text that has commas in quotes)";
    for (size_t c = 0; c < std::min(values.size(), columns.size()); ++c) line.values[columns[c]] = values[c];
  }
  return out;
}

}  // namespace

bool is_caption_list(const fs::path& file) { return file.filename() == "metadata.jsonl" || file.filename() == "metadata.csv"; }

std::map<fs::path, std::string> read_caption_list(const fs::path& file, std::vector<std::string>& faults) {
  std::map<fs::path, std::string> out;
  for (auto& line : file.extension() == ".csv" ? table_rows(file) : json_lines(file)) {
    const auto fault = [&](const std::string& what) { faults.push_back(file.string() + ", line " + std::to_string(line.number) + ": " + what); };
    if (!line.fault.empty()) {
      fault(line.fault);
      continue;
    }
    const fs::path picture = (file.parent_path() / line.values["file_name"]).lexically_normal();
    std::string caption;
    for (const char* column : kCaptionColumns)
      if (caption.empty()) caption = trimmed(line.values[column]);
    if (caption.empty())
      fault("no caption (text, caption or prompt)");
    else if (!fs::exists(picture))
      fault("there is no " + picture.string());
    else if (!has_picture_name(picture))
      fault(picture.string() + " is no " + kPictureKinds);
    else if (!out.emplace(picture, caption).second)
      fault(picture.string() + " has a caption already, which is kept");
  }
  return out;
}

}  // namespace glyphscope
