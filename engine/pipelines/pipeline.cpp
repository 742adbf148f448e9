#include "pipelines/pipeline.h"

#include <torch/types.h>

#include <algorithm>

#include "core/option.h"
#include "io/json.h"
#include "io/weights.h"

namespace glyphscope {

const char* method_name(PatchMethod method) {
  switch (method) {
    case PatchMethod::injection:
      return "injection";
    case PatchMethod::recording:
      return "recording";
    case PatchMethod::lockstep:
      return "lockstep";
    default:
      return "automatic";
  }
}

PatchMethod parse_method(const std::string& name) {
  for (auto method : {PatchMethod::automatic, PatchMethod::injection, PatchMethod::recording, PatchMethod::lockstep})
    if (name == method_name(method)) return method;
  reject("unknown method '" + name + "'", option(Option::method), "Known are automatic, injection, recording and lockstep");
}

void Pipeline::validate(const Request& request) const {
  if (request.rows.empty()) reject("the request asks for no image");
  const auto check_length = [](const std::string& prompt) {
    if (prompt.size() > kLongestPrompt)
      reject("a prompt has " + std::to_string(prompt.size()) + " bytes, at most " + std::to_string(kLongestPrompt) + " are read", prompt.substr(0, 60) + "..",
             "No text encoder reads more than a few hundred words: shorten it");
  };
  for (const auto& prompt : request.prompts) check_length(prompt);
  if (request.negative) check_length(*request.negative);
  if (request.safe) check_length(request.safe->unwanted);
  for (const auto& row : request.rows) {
    if (row.prompt < 0 || row.prompt >= static_cast<int>(request.prompts.size()))
      reject("a row names prompt " + std::to_string(row.prompt) + ", which is not there");
    if (row.pooled >= static_cast<int>(request.prompts.size())) reject("a row names the pooled prompt " + std::to_string(row.pooled) + ", which is not there");
    row.plan.validate(info().table, static_cast<int>(request.prompts.size()));
    if (row.kept) {
      const Request sized = resolve(request);
      const torch::Tensor& picture = row.kept->picture;
      const Box& box = row.kept->box;
      if (info().upscaler || info().enlarges)
        reject("a cascade keeps nothing of another picture: its second stage draws every pixel anew", option(Option::mask));
      if (!picture.defined() || picture.scalar_type() != torch::kUInt8 || picture.sizes() != at::IntArrayRef({3, sized.height, sized.width}))
        reject("the picture that is kept outside the mask must be as large as the image", option(Option::mask));
      if (box.left < 0 || box.top < 0 || box.left >= box.right || box.top >= box.bottom || box.right > sized.width || box.bottom > sized.height)
        reject("the mask lies outside the image", option(Option::mask));
    }
    if (!row.maps) continue;
    if (row.maps->source < 0 || row.maps->source >= static_cast<int>(request.prompts.size()))
      reject("a row takes the attention maps of prompt " + std::to_string(row.maps->source) + ", which is not there");
    for (const double share : {row.maps->cross_share, row.maps->self_share})
      if (!(share >= 0 && share <= 1)) reject("a share of the steps is " + std::to_string(share), "prompt-to-prompt", "It lies between 0 and 1");
  }
  const std::int64_t multiple = info().size_multiple;
  for (auto side : {request.width, request.height})
    if (side < 0 || side > 8192 || side % multiple != 0)
      reject("a side of " + std::to_string(side) + " pixels does not go", option(Option::size),
             "Width and height must be multiples of " + std::to_string(multiple) + " up to 8192");
  const auto& methods = info().methods;
  if (request.method != PatchMethod::automatic && std::find(methods.begin(), methods.end(), request.method) == methods.end())
    reject(std::string("this family cannot patch by ") + method_name(request.method), option(Option::method),
           "Its prompt K and V change from step to step: use " + std::string(method_name(methods.front())));
  for (const Row& row : request.rows)
    if (row.plan.beside_prompts() && resolve(request).method != PatchMethod::lockstep)
      reject("what is beside the prompt's K and V is patched in lockstep alone", option(Option::method, method_name(resolve(request).method)),
             "Choose lockstep or automatic");
  if (request.safe && std::any_of(request.rows.begin(), request.rows.end(), [](const Row& row) { return !row.plan.empty(); }))
    reject("safe guidance does not go together with a patch plan");
  if (request.rows_at_once < 1) reject("at least one row must go at once");
  if (request.upscale_steps > 0 && !info().upscaler)
    reject("there is no second stage to take these steps", option(Option::upscale_steps), "Name it by " + option(Option::upscale));
  if (info().enlarges != request.pictures.defined()) {
    reject(info().enlarges ? "this model enlarges pictures; the request has none" : "this model does not enlarge pictures", option(Option::image),
           info().enlarges ? "Give it what a first stage drew" : "");
  }
  if (const torch::Tensor& pictures = request.pictures; pictures.defined()) {
    const auto rows = static_cast<std::int64_t>(request.rows.size());
    if (pictures.dim() != 4 || (pictures.size(0) != rows && pictures.size(0) != 1) || pictures.size(1) != 3 || pictures.scalar_type() != torch::kUInt8)
      reject("the pictures to enlarge must be [" + std::to_string(rows) + ", 3, height, width] of bytes");
  }
  check(resolve(request));
}

Expected<Result> Pipeline::generate(const Request& request, const Observer& observer, const CancelToken& cancel) {
  return attempt([&] {
    torch::InferenceMode inference;
    validate(request);
    const Request resolved = resolve(request);
    if (!policy_) return run(resolved, observer, cancel);
    return policy_->generate(info(), resolved, [&](const Request& allowed) {
      validate(allowed);
      return run(allowed, observer, cancel);
    });
  });
}

Expected<std::shared_ptr<const Trajectory>> Pipeline::invert(const Inversion& inversion, const Request& request, const Observer& observer,
                                                             const CancelToken& cancel) {
  return attempt([&]() -> std::shared_ptr<const Trajectory> {
    torch::InferenceMode inference;
    Request resolved = resolve(request);
    resolved.guidance = info().no_guidance;  // a number that some models read
    const torch::Tensor& picture = inversion.picture;
    if (!picture.defined() || picture.dim() != 3 || picture.size(0) != 3 || picture.scalar_type() != torch::kUInt8 || picture.size(1) != resolved.height ||
        picture.size(2) != resolved.width)
      reject("the picture to invert must be [3, " + std::to_string(resolved.height) + ", " + std::to_string(resolved.width) + "] of bytes");
    return std::make_shared<const Trajectory>(run_inversion(inversion, resolved, observer, cancel));
  });
}

Trajectory Pipeline::run_inversion(const Inversion&, const Request&, const Observer&, const CancelToken&) {
  reject("a model of several stages cannot invert pictures", info().source, "Open its first stage alone");
}

Expected<Attribution> Pipeline::attribute(const Request& request, const AttributionOptions& options, const CancelToken& cancel) {
  return attempt([&] {
    validate(request);
    if (request.prompts.size() != 2 || request.rows.empty() || !request.rows.front().plan.empty() || request.rows.front().prompt > 1)
      reject("what sites would do is estimated of one prompt's own picture towards another prompt");
    return run_attribution(resolve(request), options, cancel);
  });
}

Attribution Pipeline::run_attribution(const Request&, const AttributionOptions&, const CancelToken&) {
  reject("a model of several stages has no gradients of its sites", info().source, "Open its first stage alone");
}

void Pipeline::set_policy(std::shared_ptr<PromptPolicy> policy) {
  policy_ = std::move(policy);
  info_.policy = policy_ ? policy_->describe() : nullptr;
}

Request Pipeline::resolve(Request request) const {
  const ModelInfo& model = info();
  if (request.steps <= 0) request.steps = model.default_steps;
  if (request.guidance < 0) request.guidance = model.default_guidance;
  if (request.width <= 0) request.width = model.default_width;
  if (request.height <= 0) request.height = model.default_height;
  // What is not of the prompt alone changes with the picture.
  const bool beside = std::any_of(request.rows.begin(), request.rows.end(), [](const Row& row) { return row.plan.beside_prompts(); });
  if (request.method == PatchMethod::automatic) request.method = beside ? PatchMethod::lockstep : model.methods.front();
  if (model.upscaler && request.upscale_steps <= 0) request.upscale_steps = model.upscaler->default_steps;
  return request;
}

nlohmann::ordered_json describe_enlarging(const Request& request) {
  if (request.upscale_steps > 0) return {{"noise_level", request.noise_level}, {"steps", request.upscale_steps}};
  if (!request.pictures.defined()) return nullptr;
  const torch::Tensor bytes = request.pictures.contiguous();
  const std::string_view view(static_cast<const char*>(bytes.data_ptr()), static_cast<size_t>(bytes.numel()));
  return {{"noise_level", request.noise_level}, {"sha256", sha256_text(view)}};
}

nlohmann::ordered_json describe_strength(const AdapterInfo& adapter) {
  nlohmann::ordered_json out{{"strength", adapter.strength}};
  for (const auto& [site, strength] : adapter.sites) out["site_strengths"][std::to_string(site)] = strength;
  return out;
}

nlohmann::ordered_json describe_adapters(const ModelInfo& model) {
  auto out = nlohmann::ordered_json::array();
  for (const auto& one : model.adapters) {
    out.push_back({{"file", one.file}, {"sha256", one.hash}});
    add_keys(out.back(), describe_strength(one));
  }
  return out;
}

nlohmann::ordered_json describe_upscaler(const ModelInfo& model) {
  if (!model.upscaler) return nullptr;
  const ModelInfo& second = *model.upscaler;
  return {{"model", second.source}, {"model_hash", second.hash}, {"guidance", second.default_guidance}, {"scheduler", second.scheduler}};
}

std::string outcome_of(const Result& result, size_t row) { return result.outcomes.empty() ? "" : result.outcomes[row]; }

nlohmann::ordered_json describe_model(const ModelInfo& model) {
  nlohmann::ordered_json out{{"source", model.source}, {"family", model.family}, {"hash", model.hash},
                             {"dtype", model.dtype},   {"device", model.device}, {"denoiser_parameters", model.table.denoiser_parameters}};
  if (!model.adapters.empty()) out["adapters"] = describe_adapters(model);
  if (model.upscaler) out["upscaler"] = describe_upscaler(model);
  if (!model.policy.is_null()) out["guard"] = model.policy;
  return out;
}

nlohmann::ordered_json describe_image(const ModelInfo& model, const Request& request, const Row& row, const std::string& outcome) {
  nlohmann::ordered_json out{{"schema", "glyphscope.image/1"},
                             {"model", model.source},
                             {"model_hash", model.hash},
                             {"prompts", request.prompts},
                             {"prompt", row.prompt},
                             {"pooled_prompt", row.pooled < 0 ? row.prompt : row.pooled},
                             {"seed", row.seed},
                             {"plan", row.plan.to_json()},
                             {"method", method_name(request.method)},
                             {"settings",
                              {{"steps", request.steps},
                               {"guidance", request.guidance},
                               {"scheduler", request.scheduler.empty() ? model.scheduler : request.scheduler},
                               {"negative", request.negative ? nlohmann::ordered_json(*request.negative) : nlohmann::ordered_json()},
                               {"clip_skip", request.clip_skip},
                               {"width", request.width},
                               {"height", request.height},
                               {"dtype", model.dtype},
                               {"device", model.device}}}};
  if (const auto enlarging = describe_enlarging(request); !enlarging.is_null()) out["settings"]["enlarges"] = enlarging;
  if (const auto& safe = request.safe)
    out["settings"]["safe_guidance"] = {{"unwanted", safe->unwanted}, {"scale", safe->scale}, {"threshold", safe->threshold},
                                        {"momentum", safe->momentum}, {"beta", safe->beta},   {"warmup", safe->warmup}};
  if (row.follow.path) {
    const torch::Tensor start = row.follow.path->latents.front().contiguous();
    out["follows"] = {{"until_step", row.follow.until_step},
                      {"masked", row.follow.mask.defined()},
                      {"start_sha256", sha256_text({static_cast<const char*>(start.data_ptr()), start.nbytes()})}};
  }
  if (const auto& kept = row.kept) {
    const torch::Tensor bytes = kept->picture.contiguous();
    out["kept_outside"] = {{"box", {kept->box.left, kept->box.top, kept->box.right, kept->box.bottom}},
                           {"feather", kept->feather},
                           {"picture_sha256", sha256_text({static_cast<const char*>(bytes.data_ptr()), bytes.nbytes()})}};
  }
  if (row.maps)
    out["prompt_to_prompt"] = {
        {"source", row.maps->source}, {"cross_share", row.maps->cross_share}, {"self_share", row.maps->self_share}, {"self_tokens", row.maps->self_tokens}};
  if (!model.adapters.empty()) out["adapters"] = describe_adapters(model);
  if (model.upscaler) out["upscaler"] = describe_upscaler(model);
  if (!model.policy.is_null()) out["guard"] = model.policy;
  if (!outcome.empty()) out["guard"]["done"] = outcome;
  return out;
}

nlohmann::ordered_json describe_site(const SiteTable& table, int index) {
  const Site& site = table.sites[static_cast<size_t>(index)];
  return {{"index", site.index},
          {"path", site.path},
          {"kohya", site.kohya},
          {"block", site.block},
          {"heads", site.heads},
          {"kv_parameters", site.kv_parameters},
          {"projections", site.projections},
          {"original", site.original},
          {"picture_kv", site.has_picture_kv},
          {"mlp", site.has_mlp},
          {"share", table.share({index})}};
}

}  // namespace glyphscope
