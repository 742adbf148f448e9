#pragma once

#include <torch/types.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/model_hash.h"
#include "core/progress.h"
#include "device/memory_plan.h"
#include "patching/look_taps.h"
#include "patching/patch_plan.h"
#include "patching/site.h"
#include "pipelines/attribution.h"
#include "pipelines/kept_outside.h"
#include "pipelines/prompt_policy.h"
#include "pipelines/safe_guidance.h"
#include "pipelines/trajectory.h"

namespace torch::nn {
class Module;
}

namespace glyphscope {

class AdaptableEncoder;

class Trainable;

/// Attention maps that a row has from a run of another prompt with its noise, in the same batch: Prompt-to-Prompt (arXiv 2208.01626). Guidance's
/// unconditional half keeps its own.
struct PromptToPrompt {
  int source = 0;                ///< That prompt. Words of both prompts are aligned as align_tokens() says.
  double cross_share = 0.8;      ///< Of the steps, from the first on: in these the maps over the prompt's tokens are the source's.
  double self_share = 0.4;       ///< The same of those over the picture's own tokens,
  std::int64_t self_tokens = 0;  ///< in layers where the picture has at most so many. 0: a sixteenth of the latents' points, 256 if that is less, as the
                                 ///< authors have it for Stable Diffusion; in joint attention all.
};

/// One image of a request: a prompt, a seed, and what some sites see instead.
struct Row {
  int prompt = 0;  ///< Index into Request::prompts.
  std::uint64_t seed = 42;
  PatchPlan plan;    ///< Its prompts are indices into Request::prompts too.
  int pooled = -1;   ///< Whose pooled prompt the denoiser reads, where it reads one; negative: the row's own.
  Following follow;  ///< What it has of another row's trajectory. The denoiser is not called for steps that are known of all rows of a batch.
  std::optional<PromptToPrompt> maps;
  std::optional<KeptOutside> kept;        ///< What of another picture its image keeps. Not in a cascade.
  std::shared_ptr<AttentionRecord> look;  ///< Where it looks is recorded here; null: nowhere. Of a cascade in the first stage.
};

/// How a site is made to see another prompt (section 3 of the paper): it gets the prompt itself; or K and V recorded in a run
/// of that prompt; or those that a run of it, in the same batch, computes at the same step. The first two need K and V that
/// depend on the prompt alone. Automatic: the model's own first choice.
enum class PatchMethod { automatic, injection, recording, lockstep };
const char* method_name(PatchMethod method);
/// Throws a Failure that lists the names.
PatchMethod parse_method(const std::string& name);

/// In bytes. What is longer is refused: text encoders read some hundred words, and every log and file would carry the rest.
inline constexpr size_t kLongestPrompt = 16384;

struct Request {
  std::vector<std::string> prompts;
  std::optional<std::string> negative;  ///< None: what the family takes for one (XL zeros, others ""); an empty one is encoded.
  std::optional<SafeGuidance> safe;     ///< For rows without a plan, in families that guide by an unconditional half.
  std::vector<Row> rows;
  std::int64_t steps = 0;              ///< 0: the model's default.
  double guidance = -1;                ///< Negative: the model's default; up to ModelInfo::no_guidance: none, one pass.
  std::string scheduler;               ///< "": the model's own.
  std::int64_t width = 0, height = 0;  ///< Pixels; 0: the model's own size.
  std::int64_t clip_skip = 0;          ///< Last layers of the CLIP encoders that are left out, beyond the model's own habit.
  std::int64_t rows_at_once = 16;      ///< Rows in one batch; guidance doubles them.
  PatchMethod method = PatchMethod::automatic;
  torch::Tensor pictures;                                ///< What a model that enlarges pictures draws larger: [rows, 3, h, w] uint8, or one for all rows.
  std::int64_t noise_level = 250;                        ///< How far such a model noises them first: a timestep of the schedule that says so.
  std::int64_t upscale_steps = 0;                        ///< Steps of a cascade's second stage; 0: its default.
  bool unclipped = false;                                ///< What the scheduler predicts is not clipped: only so is an inverted trajectory drawn again.
  bool keep_paths = false;                               ///< The result has each row's trajectory: twice its latents' bytes a step.
  std::uint64_t record_budget = std::uint64_t{2} << 30;  ///< Bytes that recorded K and V may take.
};

struct Result {
  torch::Tensor images;                                  ///< [rows, 3, height, width] uint8
  torch::Tensor latents;                                 ///< [rows, channels, h, w] fp32, before the decoder
  std::vector<std::shared_ptr<const Trajectory>> paths;  ///< If they were asked for; null for what a policy withholds.
  std::vector<std::string> notes;                        ///< What the user should know: a prompt that was cut.
  std::vector<std::string> outcomes;                     ///< With a policy: what it did, a row each.
  std::int64_t denoiser_calls = 0;                       ///< Batches that went through the denoiser.
  std::int64_t denoiser_rows = 0;                        ///< Rows in them, all parts of guidance counted: what a run costs.
  double seconds = 0;
};

/// Listens to a running request, on the thread that runs it.
struct Observer {
  /// Denoising steps over all batches of the request.
  std::function<void(const Progress&)> progress = [](const Progress&) {};
};

/// An adapter that is attached to a model.
struct AdapterInfo {
  std::string file, hash;  ///< As the user named it, and SHA-256 of it.
  double strength = 1;
  std::map<int, double> sites;  ///< Of single sites' attention layers, in place of it.
};
/// {"strength": ..}, and of single sites where they differ.
nlohmann::ordered_json describe_strength(const AdapterInfo& adapter);

/// What there is to know of an opened model.
struct ModelInfo {
  std::string family;  ///< "Stable Diffusion 1.x / 2.x"
  std::string source;  ///< As the user named it.
  std::filesystem::path folder;
  std::vector<std::string> notes;  ///< What of its files is not used, and what comes from elsewhere.
  ModelHash hash;                  ///< SHA-256 over the weights, configurations and vocabularies of all components.
  std::string dtype;
  std::string device = "cpu";        ///< On what it computes, as far as it matters to results: device_kind().
  std::string device_label = "cpu";  ///< "cuda:0 (NVIDIA H200)"
  std::string why_device;            ///< Why on this one, where none was named.
  Placement placement;               ///< The denoiser's.
  SiteTable table;
  std::vector<TokenEncoder> encoders;                            ///< Whose tokens its sites read.
  std::vector<std::pair<std::string, std::int64_t>> parameters;  ///< By component.
  std::int64_t default_steps = 50, default_width = 512, default_height = 512;
  double default_guidance = 7.5;
  double no_guidance = 1;  ///< The guidance at which there is none; 0 where a pipeline counts it so (Z-Image).
  /// g in: unconditional + g x (conditional - unconditional).
  double guidance_factor(double guidance) const { return guidance + (1 - no_guidance); }
  std::int64_t size_multiple = 8;             ///< Width and height must be multiples of it.
  bool enlarges = false;                      ///< It draws Request::pictures larger.
  std::shared_ptr<const ModelInfo> upscaler;  ///< Of a cascade: the second stage, which enlarges what this one draws; else null.
  std::string scheduler;                      ///< The class of its own.
  std::vector<std::string> schedulers;        ///< The names of those that go with it, as Request::scheduler has them, without spacings.
  std::string reversible_scheduler = "ddim";  ///< The name of one whose steps can be gone back; empty: its own.
  std::vector<AdapterInfo> adapters;
  nlohmann::ordered_json policy;                             ///< What PromptPolicy::describe() says; null without one.
  std::vector<PatchMethod> methods{PatchMethod::injection};  ///< What this family can do; the first is automatic's choice.
};

/// A picture to be traced back to the noise that it might have been drawn from.
struct Inversion {
  torch::Tensor picture;  ///< [3, H, W] uint8, of the size that the request asks for.
  std::string caption;
  int refinements =
      0;  ///< How often a step's start is estimated anew from the last estimate (arXiv 2403.14602); 0: plain DDIM inversion, or the reversed flow.
};

/// A text-to-image model: prompt -> latents -> image. One thread at a time.
class Pipeline {
 public:
  virtual ~Pipeline() = default;
  const ModelInfo& info() const { return info_; }
  /// What adapters are attached to: the U-Net or transformer, whose modules are named as the checkpoint's keys are.
  virtual torch::nn::Module& denoiser_module() = 0;
  /// Its text encoders that take adapters, in the order of the components.
  virtual std::vector<AdaptableEncoder*> text_encoders() { return {}; }
  /// This model as it is trained, as long as this lives; null: it cannot be.
  virtual Trainable* trainable() { return nullptr; }
  /// Says in info() what is attached, so that every document tells it. Attaches nothing.
  void note_adapters(std::vector<AdapterInfo> adapters) { info_.adapters = std::move(adapters); }
  /// From now on every image is made as the policy says, whoever asks for it; null: as it is asked for.
  void set_policy(std::shared_ptr<PromptPolicy> policy);
  /// Whether a picture into which an image was put, [3, H, W] uint8, may be seen: as the policy says. Throws a Failure.
  bool allows(const torch::Tensor& picture) const { return !policy_ || policy_->allows(info(), picture); }
  /// The request with the model's own steps, guidance and size in place of what it leaves open.
  Request resolve(Request request) const;
  /// Throws a Failure for what generate() would refuse before it starts: to be asked before anything is written.
  void validate(const Request& request) const;
  /// How many rows go through the denoiser for it, as Result::denoiser_rows counts them, where memory holds as many at once as are asked for.
  virtual std::int64_t denoiser_rows(const Request& request) const = 0;
  /// How many of such a request's rows it draws at once on threads of their own, as it does with pictures that are too small for one to be shared: with fewer
  /// rows in a request, threads have nothing to do.
  virtual std::int64_t rows_side_by_side(const Request& request) const { return (void)request, 1; }
  /// Every row's image. A row's noise depends on its seed alone, so rows may be batched in any way.
  Expected<Result> generate(const Request& request, const Observer& observer = {}, const CancelToken& cancel = {});
  /// The trajectory of a picture's latents, without guidance: steps, scheduler, size and clip_skip are the request's. Its latents end in those of the picture;
  /// drawing from its first with the caption gives the picture again, as nearly as steps are many. The scheduler must be reversible.
  Expected<std::shared_ptr<const Trajectory>> invert(const Inversion& inversion, const Request& request, const Observer& observer = {},
                                                     const CancelToken& cancel = {});
  /// What patching each site would do, estimated for the request's first row, whose prompt is 0 or 1, towards the other of its two prompts. By gradients: they
  /// say which sites are worth to be patched, and not what that gives.
  Expected<Attribution> attribute(const Request& request, const AttributionOptions& options, const CancelToken& cancel = {});

 protected:
  virtual Trajectory run_inversion(const Inversion& inversion, const Request& request, const Observer& observer, const CancelToken& cancel);
  virtual Attribution run_attribution(const Request& request, const AttributionOptions& options, const CancelToken& cancel);
  /// What a family refuses of a resolved request. Throws a Failure.
  virtual void check(const Request& request) const { (void)request; }
  virtual Result run(const Request& request, const Observer& observer, const CancelToken& cancel) = 0;

  ModelInfo info_;

 private:
  std::shared_ptr<PromptPolicy> policy_;
};

/// What of a resolved request enlarges pictures, as a document: noise level, and steps of the second stage or SHA-256 of the pictures given; null if
/// nothing does.
nlohmann::ordered_json describe_enlarging(const Request& request);

/// What a model is, as a document: source, family, hash, where it computes, adapters, its second stage, what a guard does.
nlohmann::ordered_json describe_model(const ModelInfo& model);

/// A model's adapters as a document: file, SHA-256, strength.
nlohmann::ordered_json describe_adapters(const ModelInfo& model);

/// The second stage of a cascade as a document: model, hash, guidance, scheduler; null where there is none.
nlohmann::ordered_json describe_upscaler(const ModelInfo& model);

/// What makes a row's image again, as a document: for the metadata of files. The request is a resolved one. outcome: Result::outcomes of it.
nlohmann::ordered_json describe_image(const ModelInfo& model, const Request& request, const Row& row, const std::string& outcome = "");
/// A row's outcome; empty without a policy.
std::string outcome_of(const Result& result, size_t row);

/// A site's facts as a document: index, paths, block, heads, parameters, and its share of the denoiser's.
nlohmann::ordered_json describe_site(const SiteTable& table, int site);

/// On a CPU, a T5 whose weights take more bytes than this is loaded to read prompts, and released before anything is denoised.
inline constexpr std::int64_t kHeldEncoderBytes = std::int64_t{1} << 30;

struct OpenOptions {
  std::string device = "auto";   ///< auto, cpu, cuda, cuda:1 ..
  std::string dtype = "auto";    ///< auto, fp32, bf16, fp16
  std::uint64_t memory = 0;      ///< Bytes that it may take of a device; 0: what is free.
  std::filesystem::path config;  ///< For a checkpoint in a single file: the diffusers folder with its configurations and tokenizers; empty: as published.
  std::string upscaler;          ///< A model that enlarges what this one draws (DeepFloyd IF's stage II), to open both as a cascade; empty: none.
  std::int64_t held_encoder_bytes = kHeldEncoderBytes;
  CancelToken cancel;  ///< Looked at while weights are loaded.

  PlaceWishes place() const { return {device, dtype, memory}; }
};

/// What a family opens a model by.
struct Opening {
  MemoryPlan plan;
  std::int64_t held_encoder_bytes = kHeldEncoderBytes;
  CancelToken cancel;
};

}  // namespace glyphscope
