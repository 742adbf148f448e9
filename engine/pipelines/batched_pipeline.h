#pragma once

#include <torch/types.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include "pipelines/components.h"
#include "pipelines/family_model.h"
#include "pipelines/model_folder.h"
#include "pipelines/pipeline.h"
#include "pipelines/trainable.h"

namespace glyphscope {

struct ReadPrompts;

/// The pipeline of all families: rows in batches, those of a small picture side by side, and inversion. A family derives from it, and gives what
/// FamilyModel asks for.
class BatchedPipeline : public Pipeline, public FamilyModel {
 public:
  Trainable* trainable() override { return &trainable_; }
  std::vector<AdaptableEncoder*> text_encoders() override { return encoders_; }
  std::int64_t denoiser_rows(const Request& request) const override;
  std::int64_t rows_side_by_side(const Request& request) const override;

 protected:
  /// Reads the scheduler; a family loads its components, and then calls describe(). Throws a Failure.
  BatchedPipeline(const ModelFolder& model, const Opening& opening, const Config& scheduler, std::vector<std::string> components);

  void check(const Request& request) const override;
  Result run(const Request& request, const Observer& observer, const CancelToken& cancel) final;
  Attribution run_attribution(const Request& request, const AttributionOptions& options, const CancelToken& cancel) override;
  Trajectory run_inversion(const Inversion& inversion, const Request& request, const Observer& observer, const CancelToken& cancel) override;

  /// Loads its weights, which info() then counts: see Components. A prompt is a ClipPrompt, T5Prompt or ChatPrompt, the
  /// family's own. Throw a Failure.
  void load(
      const std::string& component, torch::nn::Module& module,
      const std::function<std::string(const std::string&)>& rename = [](const std::string& key) { return key; }) {
    components_.load(component, module, rename);
  }
  template <class Prompt>
  void load(Prompt& prompt) {
    components_.load(prompt.encoder());
    prompts_.push_back([&prompt] { prompt.encoder().release(); });
    if constexpr (std::is_base_of_v<AdaptableEncoder, Prompt>) encoders_.push_back(&prompt);
  }
  /// Large encoders go.
  void prompts_read() override {
    for (const auto& release : prompts_) release();
  }
  /// The rest of info(): what all families derive alike. latent_multiple: of which latents' sides must be multiples.
  void describe(const std::string& family, const SiteTable& table, std::int64_t sample_size, std::int64_t latent_multiple);
  /// Whether some of the denoiser's blocks are copied to the device when they are to compute.
  bool streams_denoiser() const { return components_.streams_denoiser(); }
  bool has_component(const std::string& name) const { return components_.has(name); }

  const ModelFolder& folder() const { return components_.folder(); }

 private:
  // All rows of it, whether they differ or not.
  Result draw(const Request& request, const Observer& observer, const CancelToken& cancel);
  // How many threads draw batches of their own, and of how many rows.
  struct Shares {
    std::int64_t workers = 1;
    size_t at_once = 1;
  };
  Shares shares_of(const Request& request) const;
  bool is_shared_out(const Request& request) const;
  // Whether a row's arithmetic is too small to be shared among threads.
  bool is_small(const Request& request) const;
  // Throws a Failure that says by whose fault the denoiser's output is no number: a file's, an adapter's, the dtype's; returns if by none of them.
  void find_bad_numbers() const;
  // What is said where a single row is too much.
  Error does_not_fit(const c10::Error& error, const Request& request) const;
  // What patches of some tokens only ask for, and is not in the prompts.
  void check_tokens(const Request& request) const;
  void check_paths(const Request& request) const;
  std::unique_ptr<Scheduler> scheduler_of(const Request& request) const;

  Components components_;
  Config scheduler_config_;
  Trainable trainable_;
  std::vector<std::function<void()>> prompts_;  // what releases their encoders
  std::vector<AdaptableEncoder*> encoders_;     // the family's
  // How many of a request's rows the device's memory holds at once, by what one takes; which is known of requests of before, by what of them it depends on.
  size_t rows_that_fit(const Request& request, const ReadPrompts& read);
  std::uint64_t& row_bytes(const Request& request, const ReadPrompts& read);
  std::map<std::tuple<std::int64_t, std::int64_t, PatchMethod, bool, bool>, std::uint64_t> row_bytes_;
  // Of pictures of the last size for which the host had too little memory: how many rows it holds.
  struct {
    std::int64_t pixels = 0;
    size_t rows = 0;
  } fits_;
};

}  // namespace glyphscope
