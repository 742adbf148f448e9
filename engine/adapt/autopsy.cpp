#include "adapt/autopsy.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "adapt/adapters.h"
#include "core/error.h"
#include "core/option.h"
#include "experiments/inference.h"
#include "experiments/prompt_set.h"
#include "io/files.h"
#include "io/image_file.h"
#include "metrics/image_scores.h"
#include "metrics/text_scores.h"

namespace glyphscope {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

constexpr const char* kVariantSchema = "glyphscope.autopsy-variant/1";

// The site whose layer it is; negative: none.
int site_of(const std::string& path, const SiteTable& table) {
  for (const auto& site : table.sites)
    if (path.starts_with(site.path + ".")) return site.index;
  return -1;
}

// By the picture: word and noise, so that all variants' lists are of the same.
struct Pictures {
  std::vector<double> f1, exact;  // of prompts with text
  std::vector<double> ssim;       // to those of the whole adapter
  std::vector<std::string> read;
};

ordered_json to_json(const Pictures& pictures) {
  return {{"schema", kVariantSchema}, {"f1", pictures.f1}, {"exact", pictures.exact}, {"ssim_to_whole", pictures.ssim}, {"read", pictures.read}};
}

Pictures parse_pictures(const nlohmann::json& json) {
  if (json.at("schema") != kVariantSchema) reject("this is of another version");
  return {json.at("f1"), json.at("exact"), json.at("ssim_to_whole"), json.at("read")};
}

class Autopsy {
 public:
  Autopsy(Pipeline& pipeline, const Adapter& adapter, const AutopsySettings& settings, fs::path out, TextReader& reader, const AutopsyObserver& observer,
          const CancelToken& cancel)
      : pipeline_(pipeline),
        adapter_(adapter),
        table_(pipeline.info().table),
        settings_(settings),
        out_(std::move(out)),
        reader_(reader),
        observer_(observer),
        cancel_(cancel),
        parts_(parts_of(adapter, table_)) {
    // Prompts of one text are one word.
    for (size_t i = 0; i < settings.prompts.size(); ++i) {
      const std::string text = quoted_text(settings.prompts[i]);
      (text.empty() ? plain_ : written_).push_back(i);
      if (!text.empty() && std::find(texts_.begin(), texts_.end(), text) == texts_.end()) texts_.push_back(text);
    }
    if (texts_.empty())
      reject("no prompt asks for a text in double quotes", option(Option::prompts), "An autopsy tells which parts of an adapter change a text");
    if (parts_.empty()) reject("the adapter changes nothing of the model");
  }

  AutopsyResult run() {
    // Each variant of the parts, and what halving may need.
    total_ = 3 + static_cast<std::int64_t>(parts_.size() + static_cast<size_t>(std::ceil(std::log2(static_cast<double>(parts_.size()) + 1))));
    AutopsyResult result;
    // Others are compared with its pictures, so that they are drawn anew when a run goes on.
    const Pictures whole = measure("whole", parts_);
    const Pictures base = kept("base", {});
    const std::vector<size_t> all = words([](int) { return true; });
    result.whole_f1 = score(whole.f1, all, kShare);
    result.whole_exact = score(whole.exact, all, kShare);
    result.base_f1 = score(base.f1, all, kShare);
    result.base_exact = score(base.exact, all, kShare);
    result.base_ssim = score_all(base.ssim);

    std::vector<Pictures> without;
    std::vector<double> p_values;
    for (const auto& part : parts_) {
      std::vector<AdapterPart> others;
      for (const auto& one : parts_)
        if (one.name != part.name) others.push_back(one);
      without.push_back(kept("without " + part.name, others));
      AutopsyEntry entry{part};
      entry.f1_change = score(less(whole.f1, without.back().f1), all, kCorrelation);
      entry.f1 = score(without.back().f1, all, kShare);
      entry.exact = score(without.back().exact, all, kShare);
      entry.ssim = score_all(without.back().ssim);
      // Either way: it may write, or keep from writing.
      const double up = p_value_above_zero(observations(less(whole.f1, without.back().f1), all));
      const double down = p_value_above_zero(observations(less(without.back().f1, whole.f1), all));
      entry.p_value = std::min(1.0, 2 * std::min(up, down));
      p_values.push_back(entry.p_value);
      result.parts.push_back(std::move(entry));
    }
    const auto found = benjamini_hochberg(p_values, settings_.discoveries);
    for (size_t i = 0; i < found.size(); ++i) result.parts[i].changes_text = found[i];
    prune(result, whole, base, without);
    return result;
  }

 private:
  // Pictures of prompts with text whose word `chosen` takes.
  std::vector<size_t> words(const std::function<bool(int word)>& chosen) const {
    std::vector<size_t> out;
    for (size_t i = 0; i < written_.size(); ++i)
      for (int noise = 0; noise < settings_.noises; ++noise)
        if (chosen(word_of(i))) out.push_back(i * static_cast<size_t>(settings_.noises) + static_cast<size_t>(noise));
    return out;
  }
  int word_of(size_t written) const {
    const std::string text = quoted_text(settings_.prompts[written_[written]]);
    return static_cast<int>(std::find(texts_.begin(), texts_.end(), text) - texts_.begin());
  }
  std::vector<Observation> observations(const std::vector<double>& values, const std::vector<size_t>& pictures) const {
    std::vector<Observation> out;
    const auto noises = static_cast<size_t>(settings_.noises);
    for (const size_t i : pictures) out.push_back({values[i], word_of(i / noises), static_cast<int>(i % noises)});
    return out;
  }
  Score score(const std::vector<double>& values, const std::vector<size_t>& pictures, Range range) const {
    return score_of(observations(values, pictures), range);
  }
  // Of all prompts, those without text too.
  Score score_all(const std::vector<double>& values) const {
    std::vector<Observation> out;
    const auto noises = static_cast<size_t>(settings_.noises);
    for (size_t i = 0; i < values.size(); ++i) out.push_back({values[i], static_cast<int>(i / noises), static_cast<int>(i % noises)});
    return score_of(out, kCorrelation);
  }
  static std::vector<double> less(const std::vector<double>& a, const std::vector<double>& b) {
    std::vector<double> out(a.size());
    std::transform(a.begin(), a.end(), b.begin(), out.begin(), std::minus<>());
    return out;
  }
  static double mean(const std::vector<double>& values, const std::vector<size_t>& pictures) {
    double sum = 0;
    for (const size_t i : pictures) sum += values[i];
    return sum / static_cast<double>(pictures.size());
  }

  // By some words the parts that count most are chosen; what they keep is told by the others.
  void prune(AutopsyResult& result, const Pictures& whole, const Pictures& base, const std::vector<Pictures>& without) {
    constexpr size_t kFewest = 4;  // words that can be halved
    const bool halved = texts_.size() >= kFewest;
    const auto choosing = words([&](int word) { return !halved || word % 2 == 0; }), reporting = words([&](int word) { return !halved || word % 2 == 1; });
    for (size_t word = 0; word < texts_.size(); ++word) {
      if (!halved || word % 2 == 0) result.choosing.push_back(texts_[word]);
      if (!halved || word % 2 == 1) result.reporting.push_back(texts_[word]);
    }
    if (!halved) observer_.note("There are too few texts to choose by some and report on others: the pruned adapter's numbers are of the words that chose it");
    const double change = mean(whole.f1, choosing) - mean(base.f1, choosing);
    std::vector<size_t> order(parts_.size());
    std::iota(order.begin(), order.end(), 0);
    std::vector<double> adds;
    for (const auto& one : without) adds.push_back((change < 0 ? -1 : 1) * (mean(whole.f1, choosing) - mean(one.f1, choosing)));
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return adds[a] > adds[b]; });
    const auto first = [&](size_t count) {
      std::vector<AdapterPart> out;
      for (size_t i = 0; i < parts_.size(); ++i)
        if (std::find(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), i) != order.begin() + static_cast<std::ptrdiff_t>(count))
          out.push_back(parts_[i]);
      return out;
    };
    const auto keeps = [&](size_t count) {
      const Pictures pictures = kept("best " + std::to_string(count), first(count));
      const double own = mean(pictures.f1, choosing) - mean(base.f1, choosing);
      return change < 0 ? own <= settings_.kept_share * change : own >= settings_.kept_share * change;
    };
    for (const auto& part : parts_) result.parameters += part.parameters;
    size_t enough = parts_.size();
    if (change == 0) {
      observer_.note("The adapter does not change how the texts are read: none of its parts is told apart, and none is left out");
    } else {
      for (size_t low = 1; low < enough;) {
        const size_t middle = (low + enough) / 2;
        if (keeps(middle))
          enough = middle;
        else
          low = middle + 1;
      }
    }
    result.kept = first(enough);
    for (const auto& part : result.kept) result.kept_parameters += part.parameters;
    result.reported_whole_f1 = score(whole.f1, reporting, kShare);
    if (enough == parts_.size()) return;
    const Pictures pruned = kept("best " + std::to_string(enough), result.kept);
    result.pruned_f1 = score(pruned.f1, reporting, kShare);
    result.pruned_exact = score(pruned.exact, reporting, kShare);
    result.pruned_ssim = score_all(pruned.ssim);
  }

  // What was measured before, or now.
  Pictures kept(const std::string& name, const std::vector<AdapterPart>& parts) {
    const fs::path file = out_ / "variants" / (dashed(name) + ".json");
    if (fs::exists(file)) {
      const auto read = attempt([&] { return reading_json(file, [&] { return parse_pictures(read_json(file)); }); });
      if (read && read->ssim.size() == settings_.prompts.size() * static_cast<size_t>(settings_.noises)) {
        ++done_;
        return *read;
      }
      observer_.note(file.string() + " is damaged, or of another version: it is made again");
    }
    return measure(name, parts);
  }

  static std::string dashed(std::string name) {
    std::replace(name.begin(), name.end(), ' ', '-');
    return name;
  }

  Pictures measure(const std::string& name, const std::vector<AdapterPart>& parts) {
    cancel_.check();
    const Adapter own = with_parts(adapter_, table_, parts);
    const AttachedAdapter attached(pipeline_, own, settings_.strength);
    Request request;
    request.prompts = settings_.prompts;
    request.steps = settings_.steps;
    request.guidance = settings_.guidance;
    for (size_t prompt = 0; prompt < settings_.prompts.size(); ++prompt)
      for (int noise = 0; noise < settings_.noises; ++noise)
        request.rows.push_back({static_cast<int>(prompt), settings_.seed + static_cast<std::uint64_t>(noise), {}});
    const auto progress = [&](const Progress& p) {
      constexpr std::int64_t kSteps = 1000;
      observer_.progress({name, kSteps * done_ + kSteps * p.done / std::max<std::int64_t>(1, p.total), kSteps * std::max(total_, done_ + 1)});
    };
    const auto drawn = pipeline_.generate(request, {.progress = progress}, cancel_);
    if (!drawn) throw Failure(drawn.error());
    for (const auto& note : drawn->notes) observer_.note(note);
    const auto images = drawn->images.unbind();
    if (whole_.empty()) whole_ = images;
    Pictures out;
    for (size_t i = 0; i < images.size(); ++i) {
      // The similarity's window is 11 pixels wide.
      out.ssim.push_back(std::min(images[i].size(1), images[i].size(2)) >= 11 ? structural_similarity(images[i], whole_[i]) : 1);
      const std::string wanted = quoted_text(settings_.prompts[i / static_cast<size_t>(settings_.noises)]);
      if (wanted.empty()) continue;
      out.read.push_back(joined_text(reader_.read(images[i])));
      const TextScores scores = score_text(out.read.back(), wanted);
      out.f1.push_back(scores.f1);
      out.exact.push_back(scores.exact ? 1 : 0);
    }
    const fs::path folder = out_ / "variants";
    fs::create_directories(folder);
    ordered_json names = ordered_json::array();
    for (const auto& part : parts) names.push_back(part.name);
    write_png(folder / (dashed(name) + ".png"), contact_sheet(images, settings_.noises * std::max(1, 8 / settings_.noises)),
              {{"model", pipeline_.info().source}, {"parts", names}, {"prompts", settings_.prompts}, {"seed", settings_.seed}});
    write_json(folder / (dashed(name) + ".json"), to_json(out));
    ++done_;
    return out;
  }

  Pipeline& pipeline_;
  const Adapter& adapter_;
  const SiteTable& table_;
  const AutopsySettings& settings_;
  fs::path out_;
  TextReader& reader_;
  const AutopsyObserver& observer_;
  CancelToken cancel_;
  std::vector<AdapterPart> parts_;
  std::vector<size_t> written_, plain_;  // prompts with and without text
  std::vector<std::string> texts_;
  std::vector<torch::Tensor> whole_;
  std::int64_t done_ = 0, total_ = 1;
};

}  // namespace

std::vector<AdapterPart> parts_of(const Adapter& adapter, const SiteTable& table) {
  std::vector<AdapterPart> out;
  for (const auto& site : table.sites) out.push_back({"site " + std::to_string(site.index), site.index});
  out.push_back({"other layers"});
  const auto count = [](AdapterPart& part, std::int64_t parameters) {
    ++part.layers;
    part.parameters += parameters;
  };
  const auto place = [&](const std::string& path) -> AdapterPart& {
    const int site = site_of(path, table);
    return site < 0 ? out[table.sites.size()] : out[static_cast<size_t>(site)];
  };
  for (const auto& [path, layer] : adapter.denoiser.layers) count(place(path), layer.a.numel() + layer.b.numel());
  for (const auto& [path, change] : adapter.denoiser.changes) count(place(path), change.parameters());
  for (const auto& [component, lora] : adapter.encoders) out.push_back({component, -1, lora.layers.size() + lora.changes.size(), lora.parameters()});
  std::erase_if(out, [](const AdapterPart& part) { return part.layers == 0; });
  return out;
}

Adapter with_parts(const Adapter& adapter, const SiteTable& table, const std::vector<AdapterPart>& kept) {
  const auto has = [&](const std::string& name) { return std::any_of(kept.begin(), kept.end(), [&](const AdapterPart& part) { return part.name == name; }); };
  Adapter out;
  out.denoiser.metadata = adapter.denoiser.metadata;
  const auto wanted = [&](const std::string& path) {
    const int site = site_of(path, table);
    return has(site < 0 ? "other layers" : "site " + std::to_string(site));
  };
  for (const auto& [path, layer] : adapter.denoiser.layers)
    if (wanted(path)) out.denoiser.layers[path] = layer;
  for (const auto& [path, change] : adapter.denoiser.changes)
    if (wanted(path)) out.denoiser.changes[path] = change;
  for (const auto& [component, lora] : adapter.encoders)
    if (has(component)) out.encoders[component] = lora;
  return out;
}

ordered_json AutopsySettings::to_json() const {
  return {{"prompts", prompts},       {"noises", noises},          {"seed", seed}, {"steps", steps}, {"guidance", guidance}, {"strength", strength},
          {"kept_share", kept_share}, {"discoveries", discoveries}};
}

AutopsyResult run_autopsy(Pipeline& pipeline, const Adapter& adapter, const std::string& adapter_sha256, const AutopsySettings& settings, const fs::path& out,
                          bool resume, TextReader& reader, const AutopsyObserver& observer, const CancelToken& cancel) {
  const fs::path file = out / "settings.json";
  if (fs::exists(file) && !resume)
    reject("the folder holds an autopsy already", out.string(), "Go on with it by " + option(Option::resume) + ", or choose another " + option(Option::out));
  Autopsy autopsy(pipeline, adapter, settings, out, reader, observer, cancel);
  // What is kept of it depends on neither of these two.
  ordered_json asked = settings.to_json();
  asked.erase("kept_share");
  asked.erase("discoveries");
  claim_folder(file,
               {{"schema", "glyphscope.autopsy-settings/1"},
                {"model_hash", pipeline.info().hash},
                {"dtype", pipeline.info().dtype},
                {"device", pipeline.info().device},
                {"adapter_sha256", adapter_sha256},
                {"ocr", reader.name()},
                {"settings", asked}},
               "the folder holds an autopsy with other settings, of another adapter or another model");
  return autopsy.run();
}

}  // namespace glyphscope
