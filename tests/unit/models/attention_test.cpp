#include "models/attention.h"

#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "core/random.h"
#include "patching/prompt_taps.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {

// Of a layer alone.
SiteTable one_site(int heads) {
  SiteTable out;
  out.sites.push_back({.heads = heads});
  return out;
}

// The heads of an attention layer write into its output independently, through one linear projection. So at one site, with
// its input fixed, the changes that disjoint sets of heads make add up, and all heads make the change of the whole site.
TEST(Attention, ChangesOfDisjointHeadSetsAddUp) {
  torch::NoGradGuard no_grad;
  struct Holder : torch::nn::Module {
    Holder() {
      attention =
          register_module("attention", std::make_shared<Attention>(Attention::Options{.query_width = 24, .context_width = 10, .heads = 4, .head_width = 6}));
    }
    std::shared_ptr<Attention> attention;
  } holder;
  auto generator = make_generator(3);
  initialize(holder, generator);
  Attention& attention = *holder.attention;
  attention.site = 0;
  const torch::Tensor hidden = torch::randn({1, 9, 24}, generator), own = torch::randn({1, 5, 10}, generator), other = torch::randn({1, 5, 10}, generator);
  auto run = [&](std::vector<int> heads, bool any) {
    const PatchPlan plan(any ? std::vector<SitePatch>{{.site = 0, .prompt = 1, .heads = std::move(heads)}} : std::vector<SitePatch>{});
    PromptTaps taps(one_site(4), {{own}, {other}}, {{0, &plan}}, {});
    return attention.forward(hidden, {own}, &taps);
  };
  const torch::Tensor plain = run({}, false), whole = run({}, true) - plain;
  EXPECT_LT(testing::relative_error((run({0, 2}, true) - plain) + (run({1, 3}, true) - plain), whole), 1e-5);
  EXPECT_LT(testing::relative_error(run({0, 1, 2, 3}, true) - plain, whole), 1e-6);
  EXPECT_GT(whole.abs().max().item<double>(), 1e-3);
}

// Attention to a prompt whose last tokens are padding is attention to a prompt without them, in every form that a layer has; and where a row sees another
// row's keys, in the same batch, it leaves out what is padding of that one.
TEST(Attention, PaddingIsAsIfItWereNotThere) {
  torch::NoGradGuard no_grad;
  struct Holder : torch::nn::Module {
    std::shared_ptr<Attention> add(const char* name, Attention::Options options) {
      options.heads = 4;
      options.head_width = 6;
      auto out = register_module(name, std::make_shared<Attention>(options));
      out->site = 0;
      return out;
    }
    std::shared_ptr<Attention> cross = add("cross", {.query_width = 24, .context_width = 24}), joint = add("joint", {.query_width = 24, .joint_width = 24}),
                               single = add("single", {.query_width = 24, .no_output = true}),
                               added = add("added", {.query_width = 24, .added_width = 24, .groups = 4});
  } holder;
  auto generator = make_generator(3);
  initialize(holder, generator);
  const torch::Tensor hidden = torch::randn({2, 9, 24}, generator), prompt = torch::randn({2, 7, 24}, generator),
                      picture = torch::randn({2, 24, 3, 3}, generator);
  torch::Tensor mask = torch::ones({2, 7}, torch::kBool);
  mask.slice(1, 4).fill_(false);
  const Rotary turn{torch::ones({9, 6}), torch::zeros({9, 6})};
  const PatchPlan plan({{.site = 0, .prompt = 1}});
  using Form = std::function<torch::Tensor(const PromptStates&, Taps*)>;
  const std::vector<std::pair<const char*, Form>> forms = {
      {"cross", [&](const PromptStates& states, Taps* taps) { return holder.cross->forward(hidden, states, taps); }},
      {"joint", [&](const PromptStates& states, Taps* taps) { return holder.joint->forward_joint(hidden, states, nullptr, taps).hidden; }},
      {"single", [&](const PromptStates& states, Taps* taps) { return holder.single->forward_single(states, nullptr, hidden, &turn, taps).slice(1, -9); }},
      {"added", [&](const PromptStates& states, Taps* taps) { return holder.added->forward_added(picture, states, taps); }}};
  for (const auto& [name, form] : forms) {
    const torch::Tensor cut = form({prompt.slice(1, 0, 4)}, nullptr), all = form({prompt}, nullptr);
    EXPECT_LT(testing::relative_error(form({prompt, mask}, nullptr), cut), 1e-6) << name;
    EXPECT_GT(testing::relative_error(all, cut), 1e-3) << name;
    // The second row has three tokens more, which the first sees with its keys.
    torch::Tensor longer = mask.clone();
    longer[1].fill_(true);
    LockstepTaps taps(one_site(4), {{&plan, {{1, 1}}}, {}}, {});
    const torch::Tensor swapped = form({torch::stack({prompt[1], prompt[1]})}, nullptr);
    EXPECT_LT(testing::relative_error(form({prompt, longer}, &taps)[0], swapped[0]), 1e-6) << name;
  }
}

// A call that would take seconds looks at its taps in between, so that it can be stopped; and it computes the same.
TEST(Attention, LargeCallsAreTakenInParts) {
  torch::NoGradGuard no_grad;
  struct Holder : torch::nn::Module {
    Holder() { attention = register_module("attention", std::make_shared<Attention>(Attention::Options{.query_width = 64, .heads = 1, .head_width = 64})); }
    std::shared_ptr<Attention> attention;
  } holder;
  auto generator = make_generator(3);
  initialize(holder, generator);
  struct Counts : Taps {
    int entered = 0;
    void enter_attention() override { ++entered; }
  } small, large;
  const torch::Tensor few = torch::randn({1, 300, 64}, generator), many = torch::randn({1, 24000, 64}, generator);
  holder.attention->forward(few, {}, &small);
  EXPECT_EQ(small.entered, 1);
  const torch::Tensor parts = holder.attention->forward(many, {}, &large);
  EXPECT_GE(large.entered, 3);
  EXPECT_LT(testing::relative_error(parts, holder.attention->forward(many, {}, nullptr)), 1e-5);
}

TEST(Attention, ALaterPatchOverridesAnEarlierOne) {
  torch::NoGradGuard no_grad;
  const torch::Tensor a = torch::zeros({1, 2, 4}), b = torch::ones({1, 2, 4}), c = torch::full({1, 2, 4}, 2.0);
  auto project = [](const PromptStates& x) { return KeyValue{x.embedding.view({1, 2, 2, 2}), x.embedding.view({1, 2, 2, 2})}; };
  const PatchPlan plan({{.site = 0, .prompt = 1}, {.site = 0, .prompt = 2, .heads = {1}, .from_step = 3}});
  PromptTaps taps(one_site(2), {{a}, {b}, {c}}, {{0, &plan}, {0, nullptr}}, {});
  taps.begin_step(0);
  EXPECT_EQ(taps.prompt_kv(0, {a}, project).key[0].sum().item<float>(), 8);
  taps.begin_step(3);
  const KeyValue kv = taps.prompt_kv(0, {a}, project);
  EXPECT_EQ(kv.key[0][0].sum().item<float>(), 4);
  EXPECT_EQ(kv.key[0][1].sum().item<float>(), 8);
  EXPECT_EQ(kv.key[1].sum().item<float>(), 0) << "the row without a plan";
}

}  // namespace
}  // namespace glyphscope
