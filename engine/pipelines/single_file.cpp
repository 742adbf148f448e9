#include "pipelines/single_file.h"

#include <torch/types.h>

#include <algorithm>
#include <numeric>
#include <optional>

#include "core/error.h"
#include "core/option.h"
#include "device/placement.h"

namespace glyphscope {
namespace {

std::vector<std::string> parts_of(const std::string& key) {
  std::vector<std::string> out{""};
  for (char c : key) {
    if (c == '.')
      out.emplace_back();
    else
      out.back() += c;
  }
  return out;
}

struct Match {
  std::vector<std::string> numbers;
  std::string rest;
};

std::optional<Match> match(const std::vector<std::string>& pattern, const std::vector<std::string>& key) {
  Match out;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == "*" && i + 1 == pattern.size() && i < key.size()) {
      for (size_t k = i; k < key.size(); ++k) out.rest += (k > i ? "." : "") + key[k];
      return out;
    }
    if (i >= key.size()) return std::nullopt;
    const bool number = !key[i].empty() && std::all_of(key[i].begin(), key[i].end(), [](unsigned char c) { return std::isdigit(c) != 0; });
    if (pattern[i] == "#" && number)
      out.numbers.push_back(key[i]);
    else if (pattern[i] != key[i])
      return std::nullopt;
  }
  if (key.size() != pattern.size()) return std::nullopt;
  return out;
}

std::string fill(const std::string& pattern, const Match& match) {
  std::string out;
  size_t number = 0;
  for (char c : pattern) {
    if (c == '#')
      out += match.numbers.at(number++);
    else if (c == '*')
      out += match.rest;
    else
      out += c;
  }
  return out;
}

// The i-th of `count` tensors that a line makes of one.
torch::Tensor changed(const torch::Tensor& whole, const KeyRule& rule, std::int64_t i) {
  const auto count = static_cast<std::int64_t>(rule.to.size());
  switch (rule.change) {
    case KeyChange::split: {
      if (rule.shares.empty()) return whole.chunk(count)[static_cast<size_t>(i)];
      const auto share = [&](auto begin, auto end) { return std::accumulate(begin, end, std::int64_t{0}); };
      const std::int64_t unit = whole.size(0) / share(rule.shares.begin(), rule.shares.end());
      return whole.narrow(0, unit * share(rule.shares.begin(), rule.shares.begin() + i), unit * rule.shares[static_cast<size_t>(i)]);
    }
    case KeyChange::swap:
      return torch::cat({whole.chunk(2)[1], whole.chunk(2)[0]});
    case KeyChange::transpose:
      return whole.dim() == 2 ? whole.t() : whole;
    case KeyChange::convolution:
      return whole.dim() == 4 && whole.size(2) == 1 && whole.size(3) == 1 ? whole.flatten(1) : whole;
    default:
      return whole;
  }
}

// The same of a weight that is kept quantized, where it is one of whole rows.
bool keeps_rows(const KeyRule& rule) { return rule.change == KeyChange::none || rule.change == KeyChange::split || rule.change == KeyChange::swap; }
QuantizedTensor changed(const QuantizedTensor& whole, const KeyRule& rule, std::int64_t i) {
  const std::int64_t rows = whole.stored.size(0);
  if (rule.change == KeyChange::swap) return joined_rows(whole.rows(rows / 2, rows / 2), whole.rows(0, rows / 2));
  if (rule.change != KeyChange::split) return whole;
  const torch::Tensor numbers = changed(torch::arange(rows, on_host(torch::kInt64)), rule, i);  // of the rows
  return whole.rows(numbers[0].item<std::int64_t>(), numbers.size(0));
}

}  // namespace

bool any_key(const Weights& file, const std::string& prefix) {
  const auto found = file.entries().lower_bound(prefix);
  return found != file.entries().end() && found->first.starts_with(prefix);
}

SingleFile::SingleFile(const std::filesystem::path& file, const std::vector<SingleFileLayout>& layouts) : file_(file) {
  const auto found = std::find_if(layouts.begin(), layouts.end(), [&](const SingleFileLayout& layout) { return any_key(file_, layout.mark); });
  if (found == layouts.end()) {
    std::string known;
    for (const auto& layout : layouts) known += (known.empty() ? "" : ", ") + layout.models;
    reject("this is no checkpoint of a family that is known", file.string(), "Known are " + known);
  }
  layout_ = *found;
  configs_ = layout_.configs(file_);
  configured_ = layout_.configured(file_);
}

const SingleFileLayout::Place* SingleFile::find(const std::string& component) const {
  for (const auto& place : layout_.places)
    if (component == place.component && any_key(file_, place.prefix)) return &place;
  return nullptr;
}

bool SingleFile::has(const std::string& component) const { return find(component) != nullptr; }

Weights SingleFile::weights(const std::string& component, const Config& config) const {
  const SingleFileLayout::Place* place = find(component);
  if (place == nullptr)
    reject("the checkpoint holds no " + component, path().string(),
           option(Option::config) + " names a diffusers folder that has it; or use a file that holds the whole model");
  const std::string begin = place->prefix;
  const KeyTable table = place->table(config);
  std::vector<std::vector<std::string>> patterns;
  for (const auto& rule : table) patterns.push_back(parts_of(rule.from));

  std::map<std::string, Weights::Entry> out;
  for (auto entry = file_.entries().lower_bound(begin); entry != file_.entries().end() && entry->first.starts_with(begin); ++entry) {
    if (std::find(layout_.marks.begin(), layout_.marks.end(), entry->first) != layout_.marks.end()) continue;
    const auto parts = parts_of(entry->first.substr(begin.size()));
    std::optional<Match> found;
    size_t number = 0;
    while (number < table.size() && !(found = match(patterns[number], parts))) ++number;
    const Weights::Entry& whole = entry->second;
    const torch::Tensor shape = torch::empty(whole.shape, torch::kMeta);
    if (!found) {
      out[entry->first.substr(begin.size())] = whole;  // load_weights() lists it among those that nothing asks for
      continue;
    }
    const KeyRule& rule = table[number];
    const auto count = static_cast<std::int64_t>(rule.to.size());
    const std::int64_t shares = rule.shares.empty() ? count : std::accumulate(rule.shares.begin(), rule.shares.end(), std::int64_t{0});
    const std::int64_t divisor = rule.change == KeyChange::split ? std::max<std::int64_t>(shares, 1) : rule.change == KeyChange::swap ? 2 : 1;
    if (divisor > 1 && (shape.dim() == 0 || shape.size(0) % divisor != 0))
      reject("'" + entry->first + "' is " + c10::str(shape.sizes()) + ", which cannot be divided", path().string(), "The file is damaged");
    for (std::int64_t i = 0; i < count; ++i) {
      Weights::Entry& part = out[fill(rule.to[static_cast<size_t>(i)], *found)] = whole;
      part.shape = changed(shape, rule, i).sizes().vec();
      part.read = [read = whole.read, rule, i] { return changed(read(), rule, i); };
      if (!whole.quantized || !keeps_rows(rule)) {
        part.quantized = nullptr;
        part.bytes = 0;
        continue;
      }
      part.quantized = [quantized = whole.quantized, rule, i] { return changed(quantized(), rule, i); };
      part.bytes = whole.bytes / static_cast<std::uint64_t>(whole.shape[0]) * static_cast<std::uint64_t>(part.shape[0]);
    }
  }
  // Stable Diffusion 3's file has CLIP-L as other models use it, without the projection that its pooled state would go through.
  const auto& classes = config.json().value("architectures", nlohmann::json::array());
  if (classes.is_array() && !classes.empty() && classes[0] == "CLIPTextModelWithProjection" && !out.contains("text_projection.weight")) {
    const std::int64_t width = config.size("hidden_size", 768);
    out["text_projection.weight"] = {{width, width}, torch::kFloat32, [width] { return torch::eye(width, on_host()); }};
  }
  return {std::move(out), path()};
}

}  // namespace glyphscope
