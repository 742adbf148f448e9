#include "editing/guard_study.h"

#include <torch/types.h>

#include <cstdio>
#include <functional>
#include <map>
#include <optional>

#include "core/option.h"
#include "core/version.h"
#include "editing/prompt_terms.h"
#include "experiments/prompt_set.h"
#include "io/image_file.h"
#include "io/json.h"
#include "metrics/image_scores.h"
#include "metrics/text_scores.h"

namespace glyphscope {
using nlohmann::ordered_json;

namespace {

// The policy is at work for as long as this lives.
class PolicyScope {
 public:
  PolicyScope(Pipeline& pipeline, std::shared_ptr<PromptPolicy> policy) : pipeline_(pipeline) { pipeline_.set_policy(std::move(policy)); }
  ~PolicyScope() { pipeline_.set_policy(nullptr); }
  PolicyScope(const PolicyScope&) = delete;
  PolicyScope& operator=(const PolicyScope&) = delete;

 private:
  Pipeline& pipeline_;
};

struct Method {
  std::string name;
  bool guarded = false;
  std::function<void(Request&, const std::string& term)> change;  // of a request with each prompt and, after all of them, its replaced twin
};

std::string text_of(const std::string& term) { return "text \"" + term + "\""; }

SafeGuidance safe_guidance(std::string unwanted, std::int64_t steps) {
  SafeGuidance out{std::move(unwanted)};
  out.warmup = SafeGuidance::warmup_of(steps);
  return out;
}

std::vector<Method> methods_of(const GuardSettings& guard) {
  const auto twin = [](const Request& request) { return static_cast<int>(request.prompts.size() / 2); };
  const auto nothing = [](Request&, const std::string&) {};
  std::vector<Method> out{{"nothing done", false, nothing}};
  if (!guard.sites.empty()) {
    const auto patch = [guard, twin](Request& request, const std::string&) {
      for (auto& row : request.rows) row.plan = PatchPlan::at_sites(guard.sites, row.prompt + twin(request), guard.from_step);
    };
    out.push_back({"sites " + format_sites(guard.sites), false, patch});
  }
  out.push_back({"guard, with fallbacks", true, nothing});
  out.push_back({"negative prompt", false, [](Request& request, const std::string& term) { request.negative = text_of(term); }});
  out.push_back({"whole prompt swapped", false, [twin](Request& request, const std::string&) {
                   for (auto& row : request.rows) row.prompt += twin(request);
                 }});
  out.push_back({"Safe Latent Diffusion, of the term", false,
                 [](Request& request, const std::string& term) { request.safe = safe_guidance(text_of(term), request.steps); }});
  out.push_back({"Safe Latent Diffusion, its general concept", false,
                 [](Request& request, const std::string&) { request.safe = safe_guidance(SafeGuidance::general_concept(), request.steps); }});
  return out;
}

// Prompts by the first listed term in them: those of one term go together, as the negative prompt is the request's. Throws a Failure for one without.
using Groups = std::map<size_t, std::vector<size_t>>;

Groups groups_of(const GuardStudySettings& settings) {
  Groups out;
  for (size_t i = 0; i < settings.prompts.size(); ++i) {
    const auto found = find_terms(settings.guard.terms, settings.prompts[i]).found;
    if (found.empty()) reject("prompt " + std::to_string(i + 1) + " asks for no listed term: '" + settings.prompts[i] + "'", option(Option::prompts));
    out[found[0].term].push_back(i);
  }
  if (out.empty()) reject("there is no prompt to compare by", option(Option::prompts));
  return out;
}

// One image of each prompt of a group.
Request request_for(const GuardStudySettings& settings, const Method& method, size_t term, const std::vector<size_t>& members) {
  Request out = settings.sampling;
  for (const size_t i : members) out.prompts.push_back(settings.prompts[i]);
  if (!method.guarded)
    for (const size_t i : members) out.prompts.push_back(cleared_prompt(settings.guard.terms, settings.prompts[i]));
  for (size_t i = 0; i < members.size(); ++i) out.rows.push_back({static_cast<int>(i), settings.seed + members[i], {}});
  method.change(out, settings.guard.terms.terms()[term].text);
  return out;
}

// What is measured in one method's images.
class Measured {
 public:
  Measured(const GuardStudySettings& settings, const Guard& guard, TextReader& reader) : settings_(settings), guard_(guard), reader_(reader) {}

  // plain: the same prompt's image with nothing done.
  void add(const torch::Tensor& image, const torch::Tensor& plain, size_t term, size_t prompt) {
    const auto pieces = reader_.read_faint(image);  // as the guard does
    const auto one = [&](double value) { return Observation{value, static_cast<int>(term), static_cast<int>(prompt)}; };
    ssim_.push_back(one(structural_similarity(image, plain)));
    term_f1_.push_back(one(score_text(joined_text(pieces), settings_.guard.terms.terms()[term].text).f1));
    readable_.push_back(one(guard_.read_in(pieces).empty() ? 0.0 : 1.0));
    if (const std::string wanted = quoted_text(cleared_prompt(settings_.guard.terms, settings_.prompts[prompt])); !wanted.empty()) {
      const TextScores score = score_text(joined_text(reader_.read(image)), wanted);
      replacement_.push_back(one(score.exact ? 1.0 : 0.0));
      replacement_f1_.push_back(one(score.f1));
    }
    toxic_.push_back(settings_.classifier ? one(settings_.classifier->flags(joined_text(pieces)) ? 1.0 : 0.0) : readable_.back());
  }

  void score(GuardMethod& out) const {
    out.ssim = score_of(ssim_, kCorrelation);
    out.term_f1 = score_of(term_f1_, kShare);
    out.readable = score_of(readable_, kShare);
    out.toxic = score_of(toxic_, kShare);
    out.replacement = score_of(replacement_, kShare);
    out.replacement_f1 = score_of(replacement_f1_, kShare);
  }

 private:
  const GuardStudySettings& settings_;
  const Guard& guard_;
  TextReader& reader_;
  std::vector<Observation> ssim_, term_f1_, readable_, toxic_, replacement_, replacement_f1_;
};

}  // namespace

GuardStudy run_guard_study(Pipeline& pipeline, const GuardStudySettings& settings, const std::shared_ptr<TextReader>& reader, const ProgressCallback& progress,
                           const CancelToken& cancel) {
  if (!pipeline.info().policy.is_null()) reject("the model is under a guard already", pipeline.info().source);
  const auto guard = std::make_shared<Guard>(settings.guard, reader);
  const Groups groups = groups_of(settings);
  const std::vector<Method> methods = methods_of(settings.guard);

  GuardStudy study;
  if (settings.classifier) study.classifier = settings.classifier->name();
  const size_t count = settings.prompts.size();
  std::vector<torch::Tensor> plain, shown;
  const auto columns = static_cast<int>(std::min<size_t>(8, count));
  for (size_t number = 0; number < methods.size(); ++number) {
    const Method& method = methods[number];
    // In thousandths of a prompt, of all methods.
    size_t done = number * count;
    const auto total = static_cast<std::int64_t>(1000 * methods.size() * count);
    GuardMethod out;
    out.name = method.name;
    Measured measured(settings, *guard, *reader);
    std::vector<torch::Tensor> images(count);
    std::int64_t passes = 0;
    std::map<size_t, Request> requests;
    for (const auto& [term, members] : groups) requests.emplace(term, request_for(settings, method, term, members));
    const auto valid = attempt([&] {
      for (const auto& one : requests) pipeline.validate(one.second);
    });
    if (!valid) {
      if (number == 0) throw Failure(valid.error());  // all others are compared with it
      study.notes.push_back(method.name + " is left out: " + valid.error().what);
      continue;
    }
    for (const auto& group : groups) {
      const std::vector<size_t>& members = group.second;
      std::optional<PolicyScope> scope;
      if (method.guarded) scope.emplace(pipeline, guard);
      const auto report = [&](const Progress& p) {
        progress({method.name,
                  static_cast<std::int64_t>(1000 * done) + static_cast<std::int64_t>(1000 * members.size()) * p.done / std::max<std::int64_t>(1, p.total),
                  total});
      };
      const auto result = pipeline.generate(requests.at(group.first), {.progress = report}, cancel);
      if (!result) throw Failure(result.error());
      passes += result->denoiser_rows;
      out.seconds += result->seconds;
      for (const auto& outcome : result->outcomes) ++out.outcomes[outcome];
      for (size_t i = 0; i < members.size(); ++i) {
        images[members[i]] = result->images[static_cast<std::int64_t>(i)];
        measured.add(images[members[i]], number == 0 ? images[members[i]] : plain[members[i]], group.first, members[i]);
      }
      done += members.size();
    }
    measured.score(out);
    out.passes = static_cast<double>(passes) / static_cast<double>(count);
    out.seconds /= static_cast<double>(count);
    study.methods.push_back(std::move(out));
    shown.insert(shown.end(), images.begin(), images.begin() + columns);
    if (number == 0) plain = std::move(images);
  }
  study.sheet = contact_sheet(shown, columns);
  return study;
}

ordered_json GuardStudy::to_json() const {
  ordered_json out{{"methods", ordered_json::array()}, {"toxicity_classifier", classifier.empty() ? "the word list" : classifier}, {"notes", notes}};
  for (const auto& one : methods) {
    ordered_json method{{"name", one.name},
                        {"scores",
                         {{"ssim_to_unguarded", one.ssim.to_json()},
                          {"term_f1", one.term_f1.to_json()},
                          {"readable", one.readable.to_json()},
                          {"toxic", one.toxic.to_json()},
                          {"replacement_readable", one.replacement.to_json()},
                          {"replacement_f1", one.replacement_f1.to_json()}}},
                        {"denoiser_passes", {{"mean", one.passes}}},
                        {"seconds", {{"mean", one.seconds}}}};
    if (!one.outcomes.empty()) method["outcomes"] = one.outcomes;
    out["methods"].push_back(std::move(method));
  }
  return out;
}

ordered_json describe_guard_study(const GuardStudy& study, const GuardStudySettings& settings, const ModelInfo& model,
                                  const std::shared_ptr<TextReader>& reader) {
  ordered_json document{{"schema", "glyphscope.guard/1"},
                        {"versions", {{"glyphscope", version()}, {"libtorch", torch_version()}, {"ocr", reader->name()}}},
                        {"model", model.source},
                        {"model_hash", model.hash},
                        {"guard", Guard(settings.guard, reader).describe()},
                        {"settings",
                         {{"steps", settings.sampling.steps},
                          {"guidance", settings.sampling.guidance},
                          {"scheduler", settings.sampling.scheduler.empty() ? model.scheduler : settings.sampling.scheduler},
                          {"seed", settings.seed},
                          {"safe_warmup", SafeGuidance::warmup_of(settings.sampling.steps)},
                          {"dtype", model.dtype},
                          {"device", model.device}}},
                        {"prompts", settings.prompts.size()}};
  if (settings.classifier) document["classifier_sha256"] = settings.classifier->hash();
  add_keys(document, study.to_json());
  return document;
}

std::string GuardStudy::csv() const {
  std::string out =
      "method,ssim,ssim_low,ssim_high,term_f1,term_f1_low,term_f1_high,readable,readable_low,readable_high,toxic,toxic_low,toxic_high,replacement_readable,"
      "replacement_readable_low,"
      "replacement_readable_high,replacement_f1,replacement_f1_low,replacement_f1_high,denoiser_passes,"
      "seconds\n";
  const auto number = [](const std::optional<double>& value) {
    char text[32] = ",";
    if (value) std::snprintf(text, sizeof text, ",%.6g", *value);
    return std::string(text);
  };
  for (const auto& one : methods) {
    out += "\"" + one.name + "\"";
    for (const Score* score : {&one.ssim, &one.term_f1, &one.readable, &one.toxic, &one.replacement, &one.replacement_f1})
      out += number(score->n > 0 ? std::optional(score->mean) : std::nullopt) + number(score->low) + number(score->high);
    out += number(one.passes) + number(one.seconds) + "\n";
  }
  return out;
}

std::string GuardStudy::table() const {
  const auto padded = [](std::string text, size_t width) { return text.append(width > text.size() ? width - text.size() : 1, ' '); };
  const auto cell = [&](const Score& score) {
    char text[64];
    if (score.n == 0) return padded("-", 21);
    if (score.low)
      std::snprintf(text, sizeof text, "%.2f [%.2f, %.2f]", score.mean, *score.low, *score.high);
    else
      std::snprintf(text, sizeof text, "%.2f", score.mean);
    return padded(text, 21);
  };
  std::string out = padded("", 45) + padded("SSIM to unguarded", 21) + padded("term F1", 21) + padded("term readable", 21) + padded("replacement readable", 21);
  if (!classifier.empty()) out += padded("toxic", 21);
  char numbers[64];
  std::snprintf(numbers, sizeof numbers, "%8s %9s\n", "passes", "seconds");
  out += numbers;
  for (const auto& one : methods) {
    out += padded(one.name, 45) + cell(one.ssim) + cell(one.term_f1) + cell(one.readable) + cell(one.replacement);
    if (!classifier.empty()) out += cell(one.toxic);
    std::snprintf(numbers, sizeof numbers, "%8.1f %9.3f\n", one.passes, one.seconds);
    out += numbers;
  }
  return out;
}

}  // namespace glyphscope
