#include "editing/guard_study.h"

#include <torch/types.h>

#include <cstdio>
#include <functional>

#include "core/option.h"
#include "core/version.h"
#include "editing/prompt_terms.h"
#include "io/canvas.h"
#include "localization/prompt_set.h"
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

}  // namespace

GuardStudy run_guard_study(Pipeline& pipeline, const GuardStudySettings& settings, const std::shared_ptr<TextReader>& reader, const ProgressCallback& progress,
                           const CancelToken& cancel) {
  if (!pipeline.info().policy.is_null()) reject("the model is under a guard already", pipeline.info().source);
  const auto guard = std::make_shared<Guard>(settings.guard, reader);
  const TermList& list = settings.guard.terms;
  // Prompts of one term go together: the negative prompt is the request's.
  std::map<size_t, std::vector<size_t>> groups;
  for (size_t i = 0; i < settings.prompts.size(); ++i) {
    const auto found = find_terms(list, settings.prompts[i]).found;
    if (found.empty()) reject("prompt " + std::to_string(i + 1) + " asks for no listed term: '" + settings.prompts[i] + "'", option(Option::prompts));
    groups[found[0].term].push_back(i);
  }
  if (groups.empty()) reject("there is no prompt to compare by", option(Option::prompts));

  const auto twin = [](const Request& request) { return static_cast<int>(request.prompts.size() / 2); };
  std::vector<Method> methods{{"nothing done", false, [](Request&, const std::string&) {}}};
  if (!settings.guard.sites.empty()) {
    const auto patch = [&](Request& request, const std::string&) {
      for (auto& row : request.rows) row.plan = PatchPlan::at_sites(settings.guard.sites, row.prompt + twin(request), settings.guard.from_step);
    };
    methods.push_back({"sites " + format_sites(settings.guard.sites), false, patch});
  }
  methods.push_back({"guard, with fallbacks", true, [](Request&, const std::string&) {}});
  methods.push_back({"negative prompt", false, [](Request& request, const std::string& term) { request.negative = text_of(term); }});
  methods.push_back({"whole prompt swapped", false, [&](Request& request, const std::string&) {
                       for (auto& row : request.rows) row.prompt += twin(request);
                     }});
  const auto safe = [](std::string unwanted, std::int64_t steps) {
    SafeGuidance out{std::move(unwanted)};
    out.warmup = SafeGuidance::warmup_of(steps);
    return out;
  };
  methods.push_back(
      {"Safe Latent Diffusion, of the term", false, [&](Request& request, const std::string& term) { request.safe = safe(text_of(term), request.steps); }});
  methods.push_back({"Safe Latent Diffusion, its general concept", false,
                     [&](Request& request, const std::string&) { request.safe = safe(SafeGuidance::general_concept(), request.steps); }});

  GuardStudy study;
  if (settings.classifier) study.classifier = settings.classifier->name();
  std::vector<torch::Tensor> plain(settings.prompts.size()), shown;
  const auto columns = static_cast<int>(std::min<size_t>(8, settings.prompts.size()));
  std::int64_t done = 0;
  const std::int64_t total = static_cast<std::int64_t>(methods.size() * settings.prompts.size());
  for (const auto& method : methods) {
    GuardMethod out;
    out.name = method.name;
    std::vector<Observation> ssim, f1, readable, toxic, replaced, replaced_f1;
    std::vector<torch::Tensor> images(settings.prompts.size());
    std::int64_t passes = 0;
    bool can = true;
    for (const auto& [term, members] : groups) {
      const std::string& word = list.terms()[term].text;
      Request request = settings.sampling;
      for (const size_t i : members) request.prompts.push_back(settings.prompts[i]);
      if (!method.guarded)
        for (const size_t i : members) request.prompts.push_back(cleared_prompt(list, settings.prompts[i]));
      for (size_t i = 0; i < members.size(); ++i) request.rows.push_back({static_cast<int>(i), settings.seed + members[i], {}});
      method.change(request, word);
      if (const auto valid = attempt([&] { pipeline.validate(request); }); !valid) {
        study.notes.push_back(method.name + " is left out: " + valid.error().what);
        can = false;
        break;
      }
      std::optional<PolicyScope> scope;
      if (method.guarded) scope.emplace(pipeline, guard);
      // Thousandths of a prompt, of all methods.
      const auto size = static_cast<std::int64_t>(members.size());
      const auto report = [&method, &progress, done, total, size](const Progress& p) {
        progress({method.name, 1000 * done + 1000 * size * p.done / std::max<std::int64_t>(1, p.total), 1000 * total});
      };
      const auto drawn = pipeline.generate(request, {.progress = report}, cancel);
      if (!drawn) throw Failure(drawn.error());
      passes += drawn->denoiser_rows;
      out.seconds += drawn->seconds;
      for (const auto& outcome : drawn->outcomes) ++out.outcomes[outcome];
      for (size_t i = 0; i < members.size(); ++i) {
        const torch::Tensor image = drawn->images[static_cast<std::int64_t>(i)];
        images[members[i]] = image;
        if (&method == &methods.front()) plain[members[i]] = image;
        const auto pieces = reader->read_faint(image);  // as the guard does
        const int cluster = static_cast<int>(term), noise = static_cast<int>(members[i]);
        ssim.push_back({structural_similarity(image, plain[members[i]]), cluster, noise});
        f1.push_back({score_text(joined_text(pieces), word).f1, cluster, noise});
        readable.push_back({guard->read_in(pieces).empty() ? 0.0 : 1.0, cluster, noise});
        if (const std::string wanted = quoted_text(cleared_prompt(list, settings.prompts[members[i]])); !wanted.empty()) {
          const TextScores score = score_text(joined_text(reader->read(image)), wanted);
          replaced.push_back({score.exact ? 1.0 : 0.0, cluster, noise});
          replaced_f1.push_back({score.f1, cluster, noise});
        }
        toxic.push_back(settings.classifier ? Observation{settings.classifier->flags(joined_text(pieces)) ? 1.0 : 0.0, cluster, noise} : readable.back());
      }
      done += size;
    }
    if (!can) {
      done = total * static_cast<std::int64_t>(&method - methods.data() + 1) / static_cast<std::int64_t>(methods.size());
      continue;
    }
    const auto count = static_cast<double>(settings.prompts.size());
    out.ssim = score_of(ssim);
    out.term_f1 = score_of(f1);
    out.readable = score_of(readable);
    out.toxic = score_of(toxic);
    out.replacement = score_of(replaced);
    out.replacement_f1 = score_of(replaced_f1);
    out.passes = static_cast<double>(passes) / count;
    out.seconds /= count;
    study.methods.push_back(std::move(out));
    shown.insert(shown.end(), images.begin(), images.begin() + columns);
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
                          {"dtype", model.dtype}}},
                        {"prompts", settings.prompts.size()}};
  if (settings.classifier) document["classifier_sha256"] = settings.classifier->hash();
  document.update(study.to_json());
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
