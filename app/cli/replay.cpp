// Makes the pictures, tables and figures of a session again.
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

#include "app/cli/cli.h"
#include "experiments/merge.h"
#include "io/files.h"
#include "io/image_file.h"
#include "io/json.h"
#include "metrics/image_scores.h"
#include "plot/figure.h"
#include "tasks/session_file.h"

namespace glyphscope::cli {

namespace fs = std::filesystem;

namespace {

// What was made again, beside what the session has.
struct Item {
  std::string name;
  bool equal = true;
  std::string how;  ///< They differ, for a person.
};

torch::Tensor tensor_of(const Picture& picture) {
  return torch::from_blob(const_cast<std::uint8_t*>(picture.rgb->data()), {picture.height, picture.width, 3}, torch::kUInt8).permute({2, 0, 1});
}

Item compared(const std::string& name, const Picture& before, const Picture& now) {
  if (!before.rgb && !now.rgb) return {name};
  if (!before.rgb || !now.rgb) return {name, false, before.rgb ? "it is not made any more" : "the session does not have it"};
  if (before.width != now.width || before.height != now.height) return {name, false, "it has another size"};
  const torch::Tensor a = tensor_of(before), b = tensor_of(now);
  if (a.equal(b)) return {name};
  const torch::Tensor apart = (a.to(torch::kInt16) - b.to(torch::kInt16)).abs();
  char text[96];
  std::snprintf(text, sizeof text, "SSIM %.4f, %.2f %% of the pixels differ, by %d of 255 at most", structural_similarity(b.contiguous(), a.contiguous()),
                100 * (std::get<0>(apart.max(0)) > 0).to(torch::kFloat64).mean().item<double>(), apart.max().item<int>());
  return {name, false, text};
}

// What two documents say that is not the same; times and costs are of the machine.
void compare_documents(const nlohmann::json& a, const nlohmann::json& b, const std::string& place, int& equal, std::vector<std::string>& others) {
  static const std::set<std::string> of_the_machine{"seconds", "versions", "peak_memory_bytes"};
  if (a.is_object() && b.is_object()) {
    for (const auto& [key, value] : a.items()) {
      if (of_the_machine.contains(key)) continue;
      if (b.contains(key))
        compare_documents(value, b.at(key), place + "/" + key, equal, others);
      else
        others.push_back(place + "/" + key + " is not there any more");
    }
  } else if (a.is_array() && b.is_array() && a.size() == b.size()) {
    for (size_t i = 0; i < a.size(); ++i) compare_documents(a[i], b[i], place + "/" + std::to_string(i), equal, others);
  } else if (a == b) {
    ++equal;
  } else {
    constexpr size_t kShown = 60;
    others.push_back(place + ": " + a.dump().substr(0, kShown) + ", now " + b.dump().substr(0, kShown));
  }
}

class Replaying {
 public:
  Replaying(const Context& context, SessionFile session, const fs::path& out) : context_(context), session_(std::move(session)), out_(out) {
    fs::create_directories(out_ / "inputs");
    unpack_inputs(session_, out_ / "inputs");
  }

  // What cannot be made is an item too, and all else is made.
  std::vector<Item> run() {
    const bool draws = (session_.study || !session_.edits.empty()) && made("model", [&] { open(); });
    if (draws && session_.study) made("study", [&] { study(*session_.study); });
    for (size_t i = 0; draws && i < session_.edits.size(); ++i) {
      const std::string name = "edits/" + std::to_string(i);
      made(name, [&] { edit(session_.edits[i], name); });
    }
    for (size_t i = 0; i < session_.runs.size(); ++i) {
      // Runs of two workspaces may have one name.
      const fs::path run = fs::path(session_.runs[i].folder + "/.").lexically_normal().parent_path();
      const bool again = std::any_of(session_.runs.begin(), session_.runs.begin() + static_cast<std::ptrdiff_t>(i), [&](const auto& other) {
        return fs::path(other.folder + "/.").lexically_normal().parent_path().filename() == run.filename();
      });
      const std::string name = "runs/" + run.filename().string() + (again ? "-" + std::to_string(i) : "");
      made(name, [&] { conclude(session_.runs[i], run, name); });
    }
    if (session_.figure) made("figure", [&] { figure(*session_.figure); });
    std::error_code error;
    fs::remove(out_ / "inputs", error);  // if nothing is in it
    return items_;
  }

 private:
  template <class Make>
  bool made(const std::string& name, const Make& make) {
    const auto done = attempt([&] { make(); });
    if (done) return true;
    if (done.error().code == ErrorCode::cancelled) throw Failure(done.error());
    items_.push_back({name, false, done.error().message()});
    return false;
  }

  void open() {
    const auto opened = context_.open(session_.model);
    if (session_.guard) context_.run(*session_.guard);
    if (!session_.model_hash.empty() && opened.hash.text() != session_.model_hash)
      reject("the model is another one by now than the session is of", session_.model.source, "Its SHA-256 was " + session_.model_hash.substr(0, 12) + "..");
  }

  void add(const std::string& folder, const char* name, const Picture& before, const Picture& now) {
    if (before.rgb || now.rgb) items_.push_back(compared(folder + "/" + name, before, now));
  }

  void study(const SessionFile::Study& study) {
    command::Generate command = study.command;
    command.folder = (out_ / "study").string();
    const auto now = context_.get<event::PicturesReady>(command);
    add("study", "source.png", study.ready.source, now.source);
    add("study", "target.png", study.ready.target, now.target);
    if (!study.ready.patched.empty() || !now.patched.empty())
      add("study", "patched.png", study.ready.patched.empty() ? Picture() : study.ready.patched.front(), now.patched.empty() ? Picture() : now.patched.front());
  }

  void edit(const SessionFile::Edit& edit, const std::string& name) {
    command::EditText command = edit.command;
    command.folder = (out_ / name).string();
    const auto now = context_.get<event::EditReady>(command);
    add(name, "source.png", edit.ready.source.picture, now.source.picture);
    for (const auto& variant : edit.ready.variants) {
      const auto found = std::find_if(now.variants.begin(), now.variants.end(), [&](const auto& other) { return other.way == variant.way; });
      add(name, (std::string(edit_way_name(variant.way)) + ".png").c_str(), variant.picture, found == now.variants.end() ? Picture() : found->picture);
    }
  }

  // Of its description: another version, or other letters of the machine, may draw it otherwise.
  void figure(const std::string& before) {
    const DrawnFigure drawn = figure_of(before, "figure.png");
    const Figure& figure = drawn.figure;
    const FigureStyle& style = drawn.style;
    write_figure(figure, style, out_ / "figure.pdf", {{"session", "replay"}});
    // Of one that is too large for pixels there is the PDF.
    if (const auto written = attempt([&] { write_figure(figure, style, out_ / "figure.png", {{"session", "replay"}}); }); !written)
      context_.note(written.error().message());
    const auto picture = [](const Bitmap& bitmap) {
      return Picture{bitmap.width, bitmap.height, std::make_shared<const std::vector<std::uint8_t>>(bitmap.rgb), {}, {}, {}};
    };
    items_.push_back(compared("figure.png", picture(to_bitmap(image_of(before, "figure.png"))), picture(kept_look(figure, style))));
  }

  // The results of a run, of its cells.
  void conclude(const SessionFile::Reference& reference, const fs::path& run, const std::string& name) {
    if (!fs::exists(run / "settings.json")) reject("it is not there any more", run.string());
    if (!reference.sha256.empty() && reference_hash(run) != reference.sha256)
      reject("it is another run by now: its settings are not those of the session", run.string());
    const MergedRun merged = merge({run}, out_ / name);
    for (const auto& file : merged.written) {
      if (!file.ends_with(".json") || !fs::exists(run / file)) continue;
      int equal = 0;
      std::vector<std::string> others;
      compare_documents(read_json(run / file), read_json(out_ / name / file), "", equal, others);
      items_.push_back(
          {name + "/" + file, others.empty(), others.empty() ? "" : std::to_string(others.size()) + " of its values are others, " + others.front()});
    }
  }

  const Context& context_;
  SessionFile session_;
  fs::path out_;
  std::vector<Item> items_;
};

}  // namespace

Run add_replay(CLI::App& app) {
  struct Options {
    std::string session, out, model;
    bool check = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand(
      "replay", "Makes the pictures, tables and figures of a session of the window again: its drawings, its edits, and what its runs have found");
  verb->add_option("SESSION", options->session, "NAME.glyph, or a folder of the same files")->required();
  verb->add_option("--out", options->out, "Folder for study/, edits/N/, runs/NAME/, figure.png and figure.pdf")->required();
  verb->add_option("--model", options->model, "Where the session's model is now, if it was moved");
  verb->add_flag("--check", options->check, "Fail if a picture or a number is another than in the session");
  return [=](const Context& context) {
    context.refuse_guard("A session is made again as it was");
    std::vector<std::string> notes;
    SessionFile session = read_session(options->session, notes);
    for (const auto& note : notes) context.note(note);
    if (!options->model.empty()) session.model.source = options->model;
    context.read_by("ppocr");
    const OutputFolder folder(options->out);
    const std::vector<Item> items = Replaying(context, std::move(session), folder.path()).run();
    const auto others = std::count_if(items.begin(), items.end(), [](const Item& one) { return !one.equal; });
    nlohmann::ordered_json document{{"schema", "glyphscope.replay/1"}, {"session", options->session}, {"made", items.size()}, {"others", others}};
    document["items"] = nlohmann::ordered_json::array();
    for (const Item& one : items) document["items"].push_back({{"name", one.name}, {"equal", one.equal}, {"how", one.how}});
    write_json(folder / "replay.json", document);
    context.print(document);
    if (!context.common.json)
      for (const Item& one : items) std::printf("%s: %s\n", one.name.c_str(), one.equal ? "the same" : one.how.c_str());
    if (options->check && others > 0)
      reject(std::to_string(others) + " of " + std::to_string(items.size()) + " are others than in the session", options->session);
  };
}

}  // namespace glyphscope::cli
