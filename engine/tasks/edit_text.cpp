#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "core/option.h"
#include "core/version.h"
#include "editing/paste_back.h"
#include "io/files.h"
#include "io/image_file.h"
#include "io/weights.h"
#include "tasks/session.h"

namespace glyphscope {
using nlohmann::ordered_json;

namespace {

ordered_json finite(double value) { return std::isfinite(value) ? ordered_json(value) : ordered_json(nullptr); }

const char* file_of(EditWay way) { return way == EditWay::sites ? "edit.png" : way == EditWay::target_prompt ? "target.png" : "prompt-to-prompt.png"; }

// One edit: from the command to the files.
class Editing {
 public:
  Editing(Session& session, const command::EditText& command, const Job& job)
      : session_(session),
        command_(command),
        job_(job),
        start_(std::chrono::steady_clock::now()),
        pipeline_(session.adapted(command.adapters, [&](const std::string& note) { ready_.notes.push_back(note); })),
        info_(pipeline_->info()) {}

  void run() {
    prepare();
    // The source is drawn, or inverted, once for all edits of it.
    const EditSource& source = session_.edit_source(key(), [&] { return draw_source(*pipeline_, settings_, reader(), job_.progress(), job_.cancel); });
    show_source(source);
    list_variants(source);
    draw(source);
    finish(source);
    job_.tell(std::move(ready_));
  }

 private:
  TextReader& reader() { return *session_.reader(job_.cancel); }

  // What cannot be done is refused before anything is drawn.
  void prepare() {
    if (command_.plan.empty()) reject("no sites are known of this model", option(Option::sites), "Name those that write the text; a localization finds them");
    if (command_.targets.empty()) reject("there is no target to write");
    settings_.source = command_.source;
    settings_.seed = command_.sampling.seed;
    settings_.sampling = to_request(command_.sampling);
    settings_.refinements = command_.refinements;
    if (!command_.picture.empty()) take_picture(settings_, info_, read_image(command_.picture));
    settings_.sampling = pipeline_->resolve(settings_.sampling);
    session_.judges(command_.judges);
    const std::int64_t width = settings_.sampling.width, height = settings_.sampling.height;
    if (const auto& box = command_.mask; command_.masked && box && (box->left < 0 || box->top < 0 || box->right > width || box->bottom > height))
      reject("the box " + std::to_string(box->left) + "," + std::to_string(box->top) + "," + std::to_string(box->right) + "," + std::to_string(box->bottom) +
                 " reaches outside the image, which the model draws " + std::to_string(width) + " x " + std::to_string(height),
             option(Option::mask));
    for (const auto& plan : plans()) check_from_steps(plan, settings_.sampling.steps);
    std::vector<std::string> texts{quoted_text(command_.source)};
    for (const auto& target : command_.targets) texts.push_back(quoted_text(target));
    if (const std::string note = note_on_unreadable(reader(), texts); !note.empty()) job_.note(note);
    if (command_.folder.empty()) return;
    if (command_.targets.size() * std::max<size_t>(1, command_.from_steps.size()) > 1) reject("files are written of one target and one step alone");
    folder_.emplace(command_.folder);
    folder_->spare(command_.picture, {"source.png", "edit.png", "target.png", "prompt-to-prompt.png", "reconstruction.png", "drift.png", "edit-whole.png"});
  }

  // The plan from each step on that is asked for.
  std::vector<std::vector<SitePatch>> plans() const {
    if (command_.from_steps.empty()) return {command_.plan.patches()};
    std::vector<std::vector<SitePatch>> out;
    for (const int from_step : command_.from_steps) {
      out.push_back(command_.plan.patches());
      for (auto& patch : out.back()) patch.from_step = from_step;
    }
    return out;
  }

  // All that the source depends on.
  nlohmann::json key() const {
    const Request& sampling = settings_.sampling;
    nlohmann::json out{info_.hash,
                       info_.dtype,
                       info_.device,
                       describe_adapters(info_),
                       settings_.source,
                       settings_.seed,
                       sampling.steps,
                       sampling.guidance,
                       sampling.upscale_steps,
                       sampling.scheduler,
                       sampling.width,
                       sampling.height,
                       sampling.clip_skip,
                       sampling.negative ? nlohmann::json(*sampling.negative) : nlohmann::json(),
                       sampling.rows_at_once,
                       sampling.noise_level};
    if (!command_.picture.empty()) out.push_back({command_.refinements, sha256_file(command_.picture)});
    return out;
  }

  void show_source(const EditSource& source) {
    const bool real = source.settings.picture.defined();
    Request request = source.settings.sampling;
    request.prompts = {source.settings.source};
    Row row{0, source.settings.seed, {}};
    Measurement own;
    own.read = joined_text(source.pieces);
    event::EditSourceReady& out = ready_.source;
    out.picture = to_picture(source.image, own, real ? "" : json_text(describe_image(info_, request, row, source.outcome)));
    if (const auto box = text_box(source)) out.text_box = PixelBox{box->left, box->top, box->right, box->bottom};
    if (source.reconstruction.defined()) {
      row.follow.path = source.path;
      const auto drawn_again = [&](const torch::Tensor& image) {
        const ImageScores scores = score_images(image, source.round_trip);
        Picture picture = to_picture(image, json_text(describe_image(info_, request, row)));
        picture.scores = {{"ssim", scores.ssim}, {"psnr", scores.psnr}};
        return picture;
      };
      if (source.drift.defined()) out.drift = drawn_again(source.drift);
      request.guidance = info_.no_guidance;
      out.reconstruction = drawn_again(source.reconstruction);
    } else if (real) {
      ready_.notes.emplace_back("The guard withholds what the picture's noise gives back: a listed word can be read in it");
    }
    write("reconstruction.png", out.reconstruction);
    write("drift.png", out.drift);
    job_.tell(out);
  }

  void list_variants(const EditSource& source) {
    std::optional<EditMask> mask;
    if (command_.masked) {
      const auto box =
          command_.mask ? std::optional(Box{command_.mask->left, command_.mask->top, command_.mask->right, command_.mask->bottom}) : text_box(source);
      if (!box) reject("no text was found in the source to mask", option(Option::mask), "Draw or name a box");
      mask = EditMask{*box, command_.feather};
    }
    mask_ = mask;
    for (const auto& target : command_.targets)
      for (const auto& patches : plans()) {
        variants_.push_back({.way = EditWay::sites, .target = target, .patches = patches, .pooled_target = command_.pooled_target, .mask = mask});
        ready_.variants.push_back({.way = EditWay::sites, .target = target, .from_step = patches.front().from_step});
      }
    if (!command_.compared) return;
    const auto scored = mask ? std::optional(changing_box(*mask)) : std::nullopt;  // all of one box
    const PromptToPrompt maps{.cross_share = command_.cross_share, .self_share = command_.self_share};
    for (const EditWay way : {EditWay::target_prompt, EditWay::prompt_to_prompt}) {
      variants_.push_back({.way = way, .target = command_.targets.front(), .maps = maps, .scored = scored});
      ready_.variants.push_back({.way = way, .target = command_.targets.front()});
    }
  }

  void draw(const EditSource& source) {
    const size_t at_once = command_.each_alone ? 1 : variants_.size();
    std::vector<Box> boxes;
    for (const auto& piece : source.pieces) boxes.push_back(piece.box);
    std::vector<std::string> notes = source.notes, outcomes, names;
    for (size_t begin = 0; begin < variants_.size(); begin += at_once) {
      const std::vector<EditVariant> batch(variants_.begin() + static_cast<std::ptrdiff_t>(begin),
                                           variants_.begin() + static_cast<std::ptrdiff_t>(begin + at_once));
      EditedImages drawn = draw_variants(*pipeline_, source, batch, reader(), job_.progress(), job_.cancel);
      for (size_t i = 0; i < batch.size(); ++i) {
        EditedImage& one = drawn.images[i];
        session_.judges(command_.judges)
            .score({one.image, source.image, batch[i].target, quoted_text(source.settings.source), quoted_text(batch[i].target), boxes}, one.measured.scores);
        event::EditReady::Variant& variant = ready_.variants[begin + i];
        variant.picture = to_picture(one.image, one.measured, json_text(describe_image(info_, one.request, one.request.rows[0], one.outcome)));
        variant.denoiser_rows = drawn.denoiser_rows;
        variant.seconds = drawn.seconds;
        if (batch[i].mask && source.settings.given.defined() && one.outcome != kWithheld) paste(one, *batch[i].mask, source, variant);
        write(file_of(variant.way), variant.picture);
        write("edit-whole.png", variant.pasted);
        outcomes.push_back(one.outcome);
        names.emplace_back(variant.way == EditWay::sites ? "the edited picture" : edit_way_name(variant.way));
        if (!folder_) continue;
        describe_variant(one, variant);
      }
      ready_.denoiser_rows += drawn.denoiser_rows;
      notes.insert(notes.end(), drawn.notes.begin(), drawn.notes.end());
    }
    note_outcomes(outcomes, names, ready_.notes);
    for (const auto& note : notes)
      if (std::find(ready_.notes.begin(), ready_.notes.end(), note) == ready_.notes.end()) ready_.notes.push_back(note);
  }

  void paste(const EditedImage& one, const EditMask& mask, const EditSource& source, event::EditReady::Variant& variant) {
    const torch::Tensor whole = paste_back(one.image, mask, source.settings.given);
    if (pipeline_->allows(whole))
      variant.pasted = to_picture(whole, variant.picture.metadata);
    else
      ready_.notes.emplace_back("The guard withholds the whole picture: a listed word can be read in it");
  }

  void describe_variant(const EditedImage& one, const event::EditReady::Variant& variant) {
    if (variant.way == EditWay::sites) described_["request"] = describe_image(info_, one.request, one.request.rows[0]);
    ordered_json scores;
    for (const auto& [score, value] : one.measured.scores) scores[score] = finite(value);
    ordered_json out{{"file", file_of(variant.way)},
                     {"read", one.measured.read},
                     {"scores", scores},
                     {"denoiser_rows", variant.denoiser_rows},
                     {"seconds", variant.seconds}};
    if (!one.outcome.empty()) out["guard"] = one.outcome;
    if (variant.pasted.rgb) out["whole"] = "edit-whole.png";
    images_[edit_way_name(variant.way)] = out;
  }

  ordered_json describe_inversion(const EditSource& source) const {
    const torch::Tensor bytes = source.image.contiguous();
    ordered_json out{{"refinements", source.settings.refinements},
                     {"picture_sha256", sha256_text({static_cast<const char*>(bytes.data_ptr()), bytes.nbytes()})}};
    const auto compare = [](const torch::Tensor& image, const torch::Tensor& reference) {
      const ImageScores scores = score_images(image, reference);
      return ordered_json{{"psnr", finite(scores.psnr)}, {"ssim", scores.ssim}};
    };
    if (!source.reconstruction.defined()) return out;
    out["to_picture"] = compare(source.reconstruction, source.image);
    out["to_round_trip"] = compare(source.reconstruction, source.round_trip);
    out["round_trip_to_picture"] = compare(source.round_trip, source.image);
    if (source.drift.defined()) out["drift_to_round_trip"] = compare(source.drift, source.round_trip);
    return out;
  }

  void finish(const EditSource& source) {
    ready_.steps = settings_.sampling.steps;
    ready_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    if (!folder_) return;
    const std::vector<int> sites = sites_of(command_.plan);
    ordered_json document{{"schema", "glyphscope.edit/1"},
                          {"versions", {{"glyphscope", version()}, {"libtorch", torch_version()}, {"ocr", reader().name()}}},
                          {"sites", sites},
                          {"share", info_.table.share(sites)},
                          {"request", described_.at("request")}};
    if (const auto judges = session_.judges(command_.judges).describe(); !judges.is_null()) document["judges"] = judges;
    document["source"] = {{"denoiser_rows", source.denoiser_rows}, {"seconds", source.seconds}};
    if (mask_) document["mask"] = {{"box", {mask_->box.left, mask_->box.top, mask_->box.right, mask_->box.bottom}}, {"feather", mask_->feather}};
    if (source.settings.picture.defined()) document["inversion"] = describe_inversion(source);
    document["images"] = images_;
    write("source.png", ready_.source.picture);
    // Of an earlier edit, whose other files are written over by now.
    if (!ready_.source.reconstruction.rgb) std::filesystem::remove(*folder_ / "reconstruction.png");
    if (!ready_.source.drift.rgb) std::filesystem::remove(*folder_ / "drift.png");
    if (!ready_.variants.front().pasted.rgb) std::filesystem::remove(*folder_ / "edit-whole.png");
    write_json(*folder_ / "edit.json", document);
    ready_.document = json_text(document);
  }

  void write(const char* name, const Picture& picture) const {
    if (folder_ && picture.rgb) write_picture(*folder_ / name, picture);
  }

  Session& session_;
  const command::EditText& command_;
  const Job& job_;
  std::chrono::steady_clock::time_point start_;
  event::EditReady ready_;
  std::shared_ptr<Pipeline> pipeline_;
  const ModelInfo& info_;
  EditSettings settings_;
  std::optional<OutputFolder> folder_;
  std::optional<EditMask> mask_;
  std::vector<EditVariant> variants_;
  ordered_json images_, described_;
};

}  // namespace

void edit_text(Session& session, const command::EditText& command, const Job& job) {
  job.tell(event::Started{"Editing the text"});
  Editing(session, command, job).run();
}

}  // namespace glyphscope
