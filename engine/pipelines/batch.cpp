#include "pipelines/batch.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "patching/look_taps.h"
#include "patching/map_taps.h"
#include "patching/prompt_taps.h"

namespace glyphscope {

namespace {

// K and V that each prompt's own run gives, where a plan sees that prompt.
std::vector<KvRecord> record(const FamilyModel& model, const ModelInfo& info, const Request& request, const std::vector<FamilyModel::Prompt>& prompts) {
  std::vector<KvRecord> records(request.prompts.size());
  std::vector<bool> wanted(request.prompts.size());
  for (const auto& row : request.rows)
    for (const auto& patch : row.plan.patches()) wanted[static_cast<size_t>(patch.prompt)] = true;
  KvRecorder::Size size{.element_bytes = static_cast<std::int64_t>(torch::elementSize(model.dtype()))};
  for (const auto& site : info.table.sites) size.width_sum += site.heads * site.head_width;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (!wanted[i]) continue;
    size.tokens = prompts[i].embedding.size(1);
    // Prompt K and V of a cross-attention layer depend on neither latent nor step: one forward pass records them all.
    KvRecorder recorder(size, request.record_budget, 0, /*depends_on_step=*/false);
    const std::int64_t side = info.size_multiple / model.factor();
    const torch::TensorOptions there = model.placement().options();
    model.denoiser(torch::zeros({1, model.channels(), side, side}, there), torch::zeros({1}, there.dtype(torch::kFloat32)),
                   model.conditioned(prompts[i], request, false).to(model.placement().device), &recorder);
    records[i] = recorder.record();
  }
  return records;
}

// Rows that go through the denoiser together. With lockstep patching they hold, beside those asked for, the unpatched rows
// whose K and V others take.
struct Batch {
  struct Member {
    int prompt, pooled;
    std::uint64_t seed;
    const PatchPlan* plan;
    std::map<int, int> sources;  // by prompt, the member to take K and V from
    std::int64_t row = 0;        // of the request, whose picture it reads
    Following follow;
    const PromptToPrompt* maps = nullptr;
    int map_source = -1;  // the member whose attention maps it takes
    AttentionRecord* look = nullptr;
  };
  std::vector<Member> members;
  std::int64_t asked = 0;  // the first of them
};

// A row's parts in one forward pass; guidance takes the first two, safe guidance all three.
enum class Part { unconditional, own, unwanted };

Batch make_batch(const Request& request, size_t begin, size_t end) {
  Batch batch;
  for (size_t i = begin; i < end; ++i) {
    const Row& row = request.rows[i];
    batch.members.push_back({row.prompt,
                             row.pooled < 0 ? row.prompt : row.pooled,
                             row.seed,
                             &row.plan,
                             {},
                             static_cast<std::int64_t>(i),
                             row.follow,
                             row.maps ? &*row.maps : nullptr,
                             -1,
                             row.look.get()});
  }
  batch.asked = static_cast<std::int64_t>(batch.members.size());
  // The member, new if there is none, that is drawn of a prompt alone, from the noise of member `i`, or by the trajectory that this follows until that step.
  const auto companion = [&](size_t i, int prompt, std::int64_t until_step) {
    const Batch::Member wanted{prompt, prompt, batch.members[i].seed, nullptr, {}, batch.members[i].row, {batch.members[i].follow.path, until_step, {}}};
    auto found = std::find_if(batch.members.begin(), batch.members.end(), [&](const Batch::Member& one) {
      return one.prompt == wanted.prompt && one.pooled == wanted.pooled && one.seed == wanted.seed && (!request.pictures.defined() || one.row == wanted.row) &&
             (!one.plan || one.plan->patches().empty()) && !one.maps && one.follow.path == wanted.follow.path && one.follow.until_step == until_step &&
             !one.follow.mask.defined();
    });
    const auto at = static_cast<int>(found - batch.members.begin());
    if (found == batch.members.end()) batch.members.push_back(wanted);
    return at;
  };
  for (size_t i = 0; i < static_cast<size_t>(batch.asked); ++i) {
    if (request.method == PatchMethod::lockstep)
      for (const auto& patch : batch.members[i].plan->patches()) {
        const int at = companion(i, patch.prompt, 0);
        batch.members[i].sources[patch.prompt] = at;
      }
    // Whose maps are taken follows a trajectory to its end, if there is one: of the picture that was drawn, or inverted.
    if (batch.members[i].maps) {
      const int at = companion(i, batch.members[i].maps->source, batch.members[i].follow.path ? request.steps : 0);
      batch.members[i].map_source = at;
    }
  }
  return batch;
}

// Of members that take others' attention maps, whose part of the batch begins at row `first`; tokens: of a prompt.
std::vector<MapTaps::Row> aligned_maps(const FamilyModel& model, const ModelInfo& info, const Request& request, const Batch& batch, std::int64_t first,
                                       std::int64_t tokens) {
  std::vector<MapTaps::Row> out;
  const bool joint = info.methods.front() == PatchMethod::lockstep;
  const std::int64_t points = request.height * request.width / (model.factor() * model.factor());
  const auto steps = [&](double share) { return static_cast<int>(std::floor(share * static_cast<double>(request.steps) + 1e-9)); };
  for (size_t i = 0; i < batch.members.size(); ++i) {
    const Batch::Member& member = batch.members[i];
    if (member.map_source < 0) continue;
    const auto source = model.words(request.prompts[static_cast<size_t>(member.maps->source)]),
               own = model.words(request.prompts[static_cast<size_t>(member.prompt)]);
    std::int64_t most = member.maps->self_tokens;
    if (most == 0) most = joint ? points : std::max<std::int64_t>(256, points / 16);
    out.push_back({first + static_cast<std::int64_t>(i), first + member.map_source, align_tokens(source, own, tokens).to(model.placement().device),
                   steps(member.maps->cross_share), steps(member.maps->self_share), most});
  }
  return out;
}

// What the denoiser and its taps get of a batch: of each part that guidance takes, its members in their order.
struct BatchRows {
  std::vector<PromptTaps::Row> prompts;
  std::vector<LockstepTaps::Row> lockstep;
  std::vector<MapTaps::Row> maps;
  std::vector<LookTaps::Row> looks;
  Conditioning conditioning;
  RowNoise noise;          // of the members
  torch::Tensor pictures;  // that they enlarge, if they do
};

// Which tokens a patch of a row with that prompt replaces.
RowTokens tokens_of(const FamilyModel& model, const Request& request, const ReadPrompts& read, int own) {
  return [&model, &request, &read, own](const SitePatch& patch) {
    const auto words = [&](int prompt) { return model.words(request.prompts[static_cast<size_t>(prompt)]); };
    return replaced_tokens(words(own), words(patch.prompt), read.prompts.front().embedding.size(1), patch.tokens, patch.encoders);
  };
}

// What is recorded of a row that is looked at, and how its steps are put together.
LookTaps::Row looking(const FamilyModel& model, const ModelInfo& info, const Request& request, AttentionRecord& record, const std::string& prompt,
                      std::int64_t tokens) {
  const auto encoders = model.words(prompt);
  record.words = encoders.empty() ? std::vector<std::string>() : encoders.front().words;
  record.steps = static_cast<int>(request.steps);
  constexpr std::int64_t kPoints = std::int64_t{64} * 64;
  const auto sites = static_cast<std::int64_t>(record.sites.empty() ? info.table.sites.size() : record.sites.size());
  const std::int64_t numbers = std::max<std::int64_t>(1, sites * kPoints * static_cast<std::int64_t>(record.words.size()));
  record.ranges = static_cast<int>(std::clamp<std::int64_t>(record.most_numbers / numbers, 1, request.steps));
  record.found.clear();
  return {0, &record, tokens_of_words(encoders, tokens).to(model.placement().device), static_cast<double>(request.height) / static_cast<double>(request.width),
          model.tokens(request)};
}

BatchRows rows_of(const FamilyModel& model, const ModelInfo& info, const Request& request, const ReadPrompts& read, const Batch& batch) {
  BatchRows out;
  std::vector<Conditioning> conditionings;
  std::vector<torch::Tensor> pictures;
  // Unconditional half first. In lockstep it is patched too: there its K and V depend on the picture.
  for (const Part part : {Part::unconditional, Part::own, Part::unwanted}) {
    if ((part == Part::unconditional && !read.guided) || (part == Part::unwanted && !request.safe)) continue;
    const bool own = part == Part::own;
    const int other = part == Part::unconditional ? read.negative : read.unwanted, first = static_cast<int>(out.prompts.size());
    if (own) out.maps = aligned_maps(model, info, request, batch, first, read.prompts.front().embedding.size(1));
    for (const auto& member : batch.members) {
      const auto at = [&](int index) -> const FamilyModel::Prompt& { return read.prompts[static_cast<size_t>(index)]; };
      const int prompt = own ? member.prompt : other;
      // The unconditional half of a patched row is patched at the tokens that its own half is.
      const RowTokens tokens = tokens_of(model, request, read, member.prompt);
      out.prompts.push_back({prompt, own ? member.plan : nullptr, tokens});
      out.lockstep.push_back({member.plan, member.sources, tokens});
      for (auto& [_, source] : out.lockstep.back().sources) source += first;
      conditionings.push_back(model.conditioned(at(prompt), request, part == Part::unconditional));
      conditionings.back().pooled = at(own ? member.pooled : other).pooled;
      if (!own) continue;
      if (member.look) {
        const std::int64_t of_prompt = read.prompts.front().embedding.size(1);
        out.looks.push_back(looking(model, info, request, *member.look, request.prompts[static_cast<size_t>(member.prompt)], of_prompt));
        out.looks.back().row = static_cast<std::int64_t>(out.prompts.size()) - 1;
      }
      out.noise.add(member.seed);
      if (request.pictures.defined()) pictures.push_back(request.pictures.narrow(0, request.pictures.size(0) > 1 ? member.row : 0, 1));
    }
  }
  out.conditioning = joined(conditionings).to(model.placement().device);  // not row by row
  if (!pictures.empty()) out.pictures = torch::cat(pictures);
  return out;
}

// What a site sees in a row: a prompt, and what is patched in it.
struct Seen {
  int prompt = 0;
  std::vector<SitePatch> patches;
  bool operator==(const Seen&) const = default;
};

std::vector<Seen> seen_at_sites(const Row& row, size_t sites) {
  std::vector<Seen> out(sites, Seen{row.prompt, {}});
  // Of tokens or in part: the rest of such a site is the row's own, whatever other patches there say.
  std::vector<bool> mixed(sites);
  for (const SitePatch& patch : row.plan.patches())
    if (!patch.all_tokens() || patch.strength != 1) mixed[static_cast<size_t>(patch.site)] = true;
  for (const SitePatch& patch : row.plan.patches()) {
    Seen& site = out[static_cast<size_t>(patch.site)];
    if (patch.whole() && patch.from_step <= 0 && patch.to_step == SitePatch::kLastStep && !mixed[static_cast<size_t>(patch.site)])
      site = {patch.prompt, {}};
    else
      site.patches.push_back(patch);
  }
  return out;
}

}  // namespace

DistinctRows distinct_rows(const FamilyModel& model, const ModelInfo& info, const Request& request) {
  DistinctRows out;
  std::vector<std::vector<Seen>> seen;
  const bool may = model.reads_prompts_at_sites_alone() && request.method == PatchMethod::injection && !request.pictures.defined() && !request.safe;
  for (const Row& row : request.rows) {
    const bool plain = may && !row.follow.path && !row.maps && !row.kept && !row.look;
    std::vector<Seen> own = plain ? seen_at_sites(row, info.table.sites.size()) : std::vector<Seen>();
    size_t at = 0;
    while (at < out.rows.size() && !(plain && seen[at] == own && out.rows[at].seed == row.seed)) ++at;
    if (at == out.rows.size()) {
      out.rows.push_back(row);
      seen.push_back(std::move(own));
    }
    out.of.push_back(static_cast<std::int64_t>(at));
  }
  return out;
}

ReadPrompts read_prompts(FamilyModel& model, const ModelInfo& info, const Request& request, std::vector<std::string>& notes, const CancelToken& cancel) {
  ReadPrompts read;
  read.guided = model.guides_by_halves() && info.guidance_factor(request.guidance) > 1;
  read.negative = static_cast<int>(request.prompts.size());
  read.unwanted = read.negative + 1;
  {
    const ReadingPrompts reading(model);
    for (const auto& prompt : request.prompts) {
      cancel.check();
      read.prompts.push_back(model.encode(prompt, request.clip_skip, notes));
    }
    cancel.check();
    if (read.guided) read.prompts.push_back(model.encode_negative(request, notes));
    if (request.safe) read.prompts.push_back(model.encode(request.safe->unwanted, request.clip_skip, notes));
  }
  std::vector<std::pair<torch::Tensor*, torch::Tensor*>> padded;
  for (auto& prompt : read.prompts) padded.emplace_back(&prompt.embedding, &prompt.mask);
  pad_prompts(padded);
  if (request.method == PatchMethod::recording) read.records = record(model, info, request, read.prompts);
  for (const auto& prompt : read.prompts) read.states.push_back({model.site_embedding(prompt), prompt.mask});
  return read;
}

std::int64_t rows_together(const FamilyModel& model, const ModelInfo& info, const Request& request, size_t begin, size_t end) {
  const bool guided = model.guides_by_halves() && info.guidance_factor(request.guidance) > 1;
  return static_cast<std::int64_t>(make_batch(request, begin, end).members.size()) * (1 + (guided ? 1 : 0) + (request.safe ? 1 : 0));
}

void call_for_one_row(const FamilyModel& model, const ModelInfo& info, const Request& request, const ReadPrompts& read) {
  const BatchRows rows = rows_of(model, info, request, read, make_batch(request, 0, 1));
  const auto parts = static_cast<std::int64_t>(rows.prompts.size());
  const torch::Tensor nothing =
      torch::zeros({parts, model.channels(), request.height / model.factor(), request.width / model.factor()}, model.placement().options());
  model.denoiser(nothing, torch::ones({parts}, model.placement().options().dtype(torch::kFloat32)), rows.conditioning, nullptr);
}

DrawnBatch draw_batch(const FamilyModel& model, const ModelInfo& info, const Scheduler& scheduler, const Request& request, const ReadPrompts& read,
                      size_t begin, size_t end, const std::function<void()>& called, const CancelToken& cancel) {
  DrawnBatch out;
  const Batch batch = make_batch(request, begin, end);
  BatchRows rows = rows_of(model, info, request, read, batch);
  std::vector<const KvRecord*> sources;
  for (const auto& one : read.records) sources.push_back(one.bytes() > 0 ? &one : nullptr);
  PromptTaps prompt_taps(info.table, read.states, rows.prompts, cancel, sources);
  LockstepTaps lockstep_taps(info.table, rows.lockstep, cancel);
  Taps* taps = request.method == PatchMethod::lockstep ? static_cast<Taps*>(&lockstep_taps) : &prompt_taps;
  MapTaps map_taps(*taps, rows.maps);
  if (!rows.maps.empty()) taps = &map_taps;
  LookTaps look_taps(*taps, rows.looks);
  if (!rows.looks.empty()) taps = &look_taps;

  const std::vector<std::int64_t> shape{1, model.channels(), request.height / model.factor(), request.width / model.factor()};
  const torch::Tensor noisiest = rows.noise.draw(shape).to(model.placement().device);
  if (rows.pictures.defined()) {
    rows.conditioning.picture = model.enlarged(rows.pictures, request, rows.noise).to(model.placement().options());
    if (read.guided) rows.conditioning.picture = rows.conditioning.picture.repeat({request.safe ? 3 : 2, 1, 1, 1});
  }
  const auto run = scheduler.begin(request.steps, model.tokens(request));
  run->set_noise([&] { return sent(rows.noise.draw(shape), model.placement().device); });
  DenoiseOptions options;
  options.guidance = read.guided ? info.guidance_factor(request.guidance) : 1;
  options.safe = request.safe;
  options.cancel = cancel;
  std::vector<const Following*> following;
  for (const auto& member : batch.members) following.push_back(&member.follow);
  const Followers followers(following, model.placement().device, [&](std::int64_t call) { return run->step_of(static_cast<size_t>(call)); });
  options.followers = &followers;
  std::vector<Trajectory> record;
  if (request.keep_paths) options.record = &record;
  options.before_call = [&](std::int64_t call) {
    const auto step = static_cast<int>(run->step_of(static_cast<size_t>(call)));
    prompt_taps.begin_step(step);
    lockstep_taps.begin_step(step);
    map_taps.begin_step(step);
    look_taps.begin_step(step);
    if (call > 0) called();
  };
  options.after_call = [&] {
    info.hash.begin();  // all weights are read: who forms it gets in nobody's way
    ++out.calls;
    out.rows += static_cast<std::int64_t>(rows.prompts.size());
  };
  out.latents = glyphscope::denoise(
                    *run, noisiest,
                    [&](const torch::Tensor& x, double t) {
                      return model.denoiser(x.to(model.dtype()), torch::full({x.size(0)}, t, x.options().dtype(torch::kFloat32)), rows.conditioning, taps);
                    },
                    options)
                    .slice(0, 0, batch.asked);
  if (request.keep_paths)
    for (std::int64_t row = 0; row < batch.asked; ++row)
      out.paths.push_back(std::make_shared<const Trajectory>(record[static_cast<size_t>(row)].to(torch::kCPU)));
  // A decoder's activations are far larger than its latents: only so many pixels at once.
  constexpr std::int64_t kPixelsAtOnce = 1 << 20;
  for (const auto& part : out.latents.split(std::max<std::int64_t>(1, kPixelsAtOnce / (request.width * request.height))))
    out.images.push_back(to_pixels(model.decode(part, out.notes, cancel)).cpu());
  out.latents = out.latents.cpu();
  called();
  return out;
}

}  // namespace glyphscope
