#include "editing/guard.h"

#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <numeric>
#include <set>
#include <utility>

#include "editing/prompt_terms.h"
#include "io/image_file.h"
#include "io/json.h"
#include "io/weights.h"
#include "plot/canvas.h"

namespace glyphscope {
using nlohmann::ordered_json;

namespace {

// A way to draw a row that keeps its terms out.
struct Way {
  std::string name;
  std::vector<int> sites;
  int from_step = 0;
  bool pooled = false;  // the denoiser reads the replaced prompt's pooled embedding
  bool swap = false;    // the whole prompt
};

// From what changes the image least to what changes it most.
std::vector<Way> ways_of(const GuardSettings& settings, const SiteTable& table, std::int64_t steps) {
  std::vector<Way> out;
  const std::string sites = "sites " + format_sites(settings.sites);
  std::vector<int> all(table.sites.size());
  std::iota(all.begin(), all.end(), 0);
  if (!settings.sites.empty()) {
    // A quick preview may be over by then.
    const bool later = settings.from_step > 0 && settings.from_step < steps;
    if (later) out.push_back({sites + " from step " + std::to_string(settings.from_step), settings.sites, settings.from_step});
    out.push_back({sites + (settings.from_step > 0 ? " from the first step" : ""), settings.sites});
    out.push_back({"every site", all, 0, true});
  }
  out.push_back({"whole prompt", {}, 0, true, true});
  return out;
}

// The request with some of its rows, each drawn in a way; `clean` has the replaced twin of each prompt.
Request drawn_so(const Request& request, const std::vector<size_t>& rows, const Way& way, const std::vector<int>& clean) {
  Request out = request;
  out.rows.clear();
  std::vector<torch::Tensor> pictures;
  for (const size_t at : rows) {
    Row row = request.rows[at];
    if (request.pictures.defined()) pictures.push_back(request.pictures.narrow(0, request.pictures.size(0) > 1 ? static_cast<std::int64_t>(at) : 0, 1));
    const int own = row.prompt, seen = clean[static_cast<size_t>(own)];
    std::vector<SitePatch> patches;
    if (way.swap)
      row.prompt = seen;
    else if (seen != own)
      patches = PatchPlan::at_sites(way.sites, seen, way.from_step).patches();
    // What the user's own plan shows a site, it sees without terms. What is blended with the row's own prompt would be blended with its terms: there the
    // site sees the nearer of the two.
    for (SitePatch patch : row.plan.patches()) {
      if (seen != own && patch.strength != 1) {
        constexpr double kHalf = 0.5;
        if (patch.strength < kHalf) continue;
        patch.strength = 1;
      }
      patch.prompt = clean[static_cast<size_t>(patch.prompt)];
      patches.push_back(patch);
    }
    row.plan = PatchPlan(std::move(patches));
    if (way.pooled) row.pooled = clean[static_cast<size_t>(row.pooled < 0 ? own : row.pooled)];
    out.rows.push_back(std::move(row));
  }
  if (!pictures.empty()) out.pictures = torch::cat(pictures);
  return out;
}

// All prompts that a row's image may show.
std::set<int> prompts_of(const Row& row) {
  std::set<int> out{row.prompt};
  for (const auto& patch : row.plan.patches()) out.insert(patch.prompt);
  if (row.pooled >= 0) out.insert(row.pooled);
  if (row.maps) out.insert(row.maps->source);
  return out;
}

// A request's prompts, and which of them stands in for each without its terms.
struct Screened {
  Request request;                            // with the replaced prompts after its own
  std::vector<int> clean;                     // by prompt of its own: which one stands in for it
  std::vector<std::vector<TermMatch>> terms;  // by prompt of its own

  // Whether the row's image may show a term.
  bool asks(const Row& row) const {
    const std::set<int> prompts = prompts_of(row);
    return std::any_of(prompts.begin(), prompts.end(), [&](int prompt) { return !terms[static_cast<size_t>(prompt)].empty(); });
  }
};

Screened screen(const TermList& list, const Request& request) {
  Screened out{request, {}, {}};
  for (const auto& prompt : request.prompts) {
    const auto found = find_terms(list, prompt).found;
    out.clean.push_back(static_cast<int>(found.empty() ? out.clean.size() : out.request.prompts.size()));
    if (!found.empty()) out.request.prompts.push_back(cleared_prompt(list, prompt));
    out.terms.push_back(found);
  }
  return out;
}

// A request's rows, each as it was drawn last, and what OCR reads in it.
struct DrawnRows {
  explicit DrawnRows(const Request& request)
      : images(request.rows.size()), latents(request.rows.size()), read(request.rows.size()), terms_read(request.rows.size()) {
    result.outcomes.assign(request.rows.size(), kAsAsked);
    if (request.keep_paths) result.paths.resize(request.rows.size());
  }

  void put(const std::vector<size_t>& rows, const Result& drawn, const std::string& way) {
    for (size_t i = 0; i < rows.size(); ++i) {
      const auto at = static_cast<std::int64_t>(i);
      images[rows[i]] = drawn.images[at];
      latents[rows[i]] = drawn.latents.defined() ? drawn.latents[at] : torch::Tensor();
      if (!result.paths.empty()) result.paths[rows[i]] = drawn.paths[i];
      result.outcomes[rows[i]] = way;
    }
    for (const auto& note : drawn.notes)
      if (std::find(result.notes.begin(), result.notes.end(), note) == result.notes.end()) result.notes.push_back(note);
    result.denoiser_calls += drawn.denoiser_calls;
    result.denoiser_rows += drawn.denoiser_rows;
  }

  void withhold(size_t row) {
    result.outcomes[row] = kWithheld;
    images[row] = withheld_image(images[row].size(1), images[row].size(2));
    if (latents[row].defined()) latents[row] = torch::zeros_like(latents[row]);
    if (!result.paths.empty()) result.paths[row] = nullptr;
  }

  std::vector<torch::Tensor> images, latents;
  std::vector<std::string> read;
  std::vector<std::vector<TermMatch>> terms_read;
  Result result;  // without images and latents
};

std::string image_hash(const torch::Tensor& image) {
  const torch::Tensor bytes = image.contiguous();
  return sha256_text({static_cast<const char*>(bytes.data_ptr()), static_cast<size_t>(bytes.numel())});
}

}  // namespace

torch::Tensor withheld_image(std::int64_t height, std::int64_t width) {
  constexpr Colour kPaper{235, 235, 238}, kInk{70, 70, 80};
  const int side = static_cast<int>(std::min(width, height)), line = std::max(1, side / 16);
  const double left = std::floor(static_cast<double>(width) / 2);
  Canvas canvas;
  const auto drawn = [&] { return to_tensor(canvas.pixels({static_cast<double>(width), static_cast<double>(height)}, 1, kPaper)); };
  const auto rule = [&](double top) { canvas.fill({left - side / 4, top, static_cast<double>(side / 2), static_cast<double>(line)}, kInk); };
  // In the largest letters in which the reason fits: in one line or, in a small image, in several.
  const std::vector<std::vector<std::string>> forms{{"withheld: a listed word could be read"},
                                                    {"withheld:", "a listed word", "could be read"},
                                                    {"withheld:", "a listed", "word could", "be read"},
                                                    {kWithheld}};
  constexpr int kSmallest = 6;
  for (const auto& words : forms)
    for (int size = std::max(kSmallest, side / 10); size >= kSmallest; --size) {
      const int pitch = size + size / 3, tall = static_cast<int>(words.size()) * pitch + 2 * line;
      const Canvas::Font font{static_cast<double>(size), false, {}};
      double wide = 0;
      for (const auto& one : words) wide = std::max(wide, Canvas::text_width(one, font));
      if (wide > static_cast<double>(width) - 4 || tall > height - 2) continue;
      const int top = (static_cast<int>(height) - tall) / 2;
      rule(top);
      for (size_t i = 0; i < words.size(); ++i)
        canvas.text(words[i], {left, static_cast<double>(top + 2 * line + static_cast<int>(i) * pitch + size)}, font, kInk, Canvas::Align::centre);
      return drawn();
    }
  rule(std::floor(static_cast<double>(height) / 2));
  return drawn();
}

Guard::Guard(GuardSettings settings, std::shared_ptr<TextReader> reader) : settings_(std::move(settings)), reader_(std::move(reader)) {
  if (settings_.terms.terms().empty()) reject("the list of words is empty", "the guard", "Name at least one term");
  for (const auto& term : settings_.terms.terms())
    if (term.replacement && !settings_.terms.find(*term.replacement, /*written=*/true).empty())
      reject("the replacement of '" + term.text + "' has a listed term itself: '" + *term.replacement + "'", "list of terms");
  if (!settings_.log.empty()) log_ = std::make_unique<AuditLog>(settings_.log);
  for (const auto& term : settings_.terms.terms())
    if (!reader_->knows(term.text)) unreadable_ += (unreadable_.empty() ? "" : ", ") + term.text;
  if (!unreadable_.empty())
    unreadable_ = reader_->name() + " does not know all letters of " + unreadable_ + ": these are kept out of prompts, and not looked for in images";
}

std::vector<TermMatch> Guard::read_in(const std::vector<TextPiece>& pieces) const { return settings_.terms.find(joined_text(pieces), /*written=*/true); }

ordered_json Guard::describe() const {
  std::string list;
  for (const auto& term : settings_.terms.terms()) list += term.text + " => " + term.replacement.value_or("") + "\n";
  return {{"terms_sha256", sha256_text(list)}, {"sites", settings_.sites}, {"from_step", settings_.from_step}, {"ocr", reader_->name()}};
}

Result Guard::generate(const ModelInfo& model, const Request& request, const std::function<Result(const Request&)>& draw) {
  const auto start = std::chrono::steady_clock::now();
  const Screened screened = screen(settings_.terms, request);
  const size_t count = request.rows.size();
  DrawnRows drawn(request);
  // Rows that ask for no term go with the others' first way, in one run: a plan without patches changes no bit.
  std::vector<size_t> rows(count), helpless;
  std::iota(rows.begin(), rows.end(), 0);
  for (const auto& way : ways_of(settings_, model.table, request.steps)) {
    drawn.put(rows, draw(drawn_so(screened.request, rows, way, screened.clean)), way.name);
    std::vector<size_t> again;
    for (const size_t at : rows) {
      const auto pieces = reader_->read_faint(drawn.images[at]);
      drawn.read[at] = joined_text(pieces);
      drawn.terms_read[at] = read_in(pieces);
      if (!drawn.terms_read[at].empty()) (screened.asks(request.rows[at]) ? again : helpless).push_back(at);
    }
    rows = std::move(again);
    if (rows.empty()) break;
  }
  for (size_t at = 0; at < count; ++at)
    if (!screened.asks(request.rows[at])) drawn.result.outcomes[at] = kAsAsked;
  rows.insert(rows.end(), helpless.begin(), helpless.end());
  for (const size_t at : rows) drawn.withhold(at);

  Result& result = drawn.result;
  if (!rows.empty())
    result.notes.push_back("Withheld: a listed term could be read in " + std::to_string(rows.size()) + " of " + std::to_string(count) + " images");
  tally_.images += static_cast<std::int64_t>(count);
  for (const auto& outcome : result.outcomes)
    if (outcome != kAsAsked) ++(outcome == kWithheld ? tally_.withheld : tally_.changed);
  if (!unreadable_.empty()) result.notes.push_back(std::exchange(unreadable_, {}));
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  result.images = torch::stack(drawn.images);
  if (drawn.latents.front().defined()) result.latents = torch::stack(drawn.latents);

  // Nothing is seen that the log does not name.
  if (log_) {
    ordered_json images = ordered_json::array();
    for (size_t at = 0; at < count; ++at) {
      images.push_back(logged_row(request, request.rows[at], screened.terms));
      ordered_json& one = images.back();
      one["done"] = result.outcomes[at];
      add_keys(one, logged("read", drawn.read[at]));
      one["terms_read"] = logged_terms(drawn.terms_read[at]);
      one["image_sha256"] = image_hash(drawn.images[at]);
    }
    log(model, logged_settings(model, request), std::move(images));
  }
  return std::move(result);
}

ordered_json Guard::logged_row(const Request& request, const Row& row, const std::vector<std::vector<TermMatch>>& terms) const {
  const auto prompt = static_cast<size_t>(row.prompt);
  ordered_json out = logged("prompt", request.prompts[prompt]);
  out["seed"] = row.seed;
  if (!row.plan.empty()) out["plan"] = row.plan.to_json();
  if (row.maps) out["attention_maps_of"] = row.maps->source;
  if (row.pooled >= 0) out["pooled_prompt"] = row.pooled;
  if (row.follow.path) out["follows"] = "a source's way";
  if (row.kept) out["kept_outside"] = {row.kept->box.left, row.kept->box.top, row.kept->box.right, row.kept->box.bottom};
  std::vector<TermMatch> matched;
  for (const int number : prompts_of(row)) {
    const auto other = static_cast<size_t>(number);
    matched.insert(matched.end(), terms[other].begin(), terms[other].end());
    // Plans name prompts by number: here are their texts.
    if (other != prompt) out["plan_prompts"][std::to_string(number)] = logged("prompt", request.prompts[other]);
  }
  out["matched"] = logged_terms(matched);
  return out;
}

ordered_json Guard::logged_settings(const ModelInfo& model, const Request& request) const {
  ordered_json out{{"steps", request.steps},
                   {"guidance", request.guidance},
                   {"scheduler", request.scheduler.empty() ? model.scheduler : request.scheduler},
                   {"width", request.width},
                   {"height", request.height},
                   {"clip_skip", request.clip_skip},
                   {"method", method_name(request.method)},
                   {"dtype", model.dtype},
                   {"device", model.device}};
  if (request.negative) add_keys(out, logged("negative", *request.negative));
  if (request.pictures.defined()) out["enlarges"] = image_hash(request.pictures);
  return out;
}

bool Guard::allows(const ModelInfo& model, const torch::Tensor& picture) {
  const auto pieces = reader_->read_faint(picture);
  const auto found = read_in(pieces);
  if (log_) {
    ordered_json one{{"matched", ordered_json::array()}, {"done", found.empty() ? "put into a picture" : kWithheld}};
    add_keys(one, logged("read", joined_text(pieces)));
    one["terms_read"] = logged_terms(found);
    one["image_sha256"] = image_hash(picture);
    log(model, {{"width", picture.size(2)}, {"height", picture.size(1)}}, {std::move(one)});
  }
  return found.empty();
}

std::string Guard::note_since(const Tally& before) const {
  const std::int64_t changed = tally_.changed - before.changed, withheld = tally_.withheld - before.withheld;
  if (changed + withheld == 0) return {};
  return "the guard replaced listed words in " + std::to_string(changed) + " of " + std::to_string(tally_.images - before.images) + " images and withheld " +
         std::to_string(withheld) + "; scores are of the images as they are seen";
}

ordered_json Guard::logged(const char* name, const std::string& text) const {
  return settings_.clear_text ? ordered_json{{name, text}} : ordered_json{{std::string(name) + "_sha256", sha256_text(text)}};
}

ordered_json Guard::logged_terms(const std::vector<TermMatch>& matches) const {
  // A prompt may hold nothing but terms: a line of the log has room for so many.
  constexpr size_t kMost = 100;
  ordered_json out = ordered_json::array();
  for (size_t i = 0; i < std::min(kMost, matches.size()); ++i) out.push_back(logged("term", settings_.terms.terms()[matches[i].term].text));
  if (matches.size() > kMost) out.push_back({{"more", matches.size() - kMost}});
  return out;
}

void Guard::log(const ModelInfo& model, ordered_json settings, ordered_json images) {
  // So many images a line: its length is bounded, however many a request asks for.
  constexpr size_t kMost = 64;
  for (size_t first = 0; first == 0 || first < images.size(); first += kMost) {
    ordered_json some = ordered_json::array();
    for (size_t i = first; i < std::min(first + kMost, images.size()); ++i) some.push_back(std::move(images[i]));
    log_->append({{"schema", "glyphscope.audit/2"},
                  {"model", model.source},
                  {"model_hash", model.hash},
                  {"adapters", describe_adapters(model)},
                  {"guard", describe()},
                  {"settings", settings},
                  {"images", std::move(some)}});
  }
}

}  // namespace glyphscope
