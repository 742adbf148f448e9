#include <sstream>

#include "app/cli/cli.h"
#include "io/files.h"
#include "io/image_file.h"
#include "localization/sweep.h"

namespace glyphscope::cli {

namespace {

// "5:0,2" or "5:0,2;7:1": heads of single sites.
std::map<int, std::vector<int>> parse_heads(const std::vector<std::string>& texts, const SiteTable& table) {
  std::map<int, std::vector<int>> out;
  for (const auto& text : texts) {
    const auto colon = text.find(':');
    if (colon == std::string::npos) reject("'" + text + "' names no heads", "--heads", "Write for example 5:0,2");
    const int site = parse_sites(text.substr(0, colon), table).front();
    SiteTable heads;
    heads.sites.resize(static_cast<size_t>(table.sites[static_cast<size_t>(site)].heads));
    out[site] = parse_sites(text.substr(colon + 1), heads);
  }
  return out;
}

}  // namespace

Run add_patch(CLI::App& app) {
  struct Options {
    std::string model, source, target, sites, streams = "kv", out, method = "automatic", ocr = "ppocr", pooled = "source";
    std::vector<std::string> heads;
    int from_step = 0, to_step = SitePatch::kLastStep;
    SamplingOptions sampling;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("patch", "Makes prompt A's image while some layers see prompt B");
  verb->add_option("MODEL", options->model, kModelHelp)->required();
  verb->add_option("--source", options->source, "Prompt A")->required();
  verb->add_option("--target", options->target, "Prompt B")->required();
  verb->add_option("--sites", options->sites, "Layers that see prompt B, for example 5,7-9")->required();
  verb->add_option("--heads", options->heads, "Only these heads of a site, for example 5:0,2 (repeatable)");
  verb->add_option("--streams", options->streams, "kv, k or v")->capture_default_str();
  verb->add_option("--from-step", options->from_step, "First step that is patched")->capture_default_str();
  verb->add_option("--to-step", options->to_step, "First step that is not patched any more");
  verb->add_option("--method", options->method, "injection of prompt B, recording of its K and V, lockstep with a run of it, or automatic")
      ->capture_default_str();
  verb->add_option("--pooled", options->pooled, "source or target: whose pooled prompt the patched image reads, where the model reads one (SDXL)")
      ->check(CLI::IsMember({"source", "target"}))
      ->capture_default_str();
  verb->add_option("--ocr", options->ocr, "ppocr or tesseract")->capture_default_str();
  verb->add_option("--out", options->out, "Folder for source.png, target.png, patched.png and patch.json")->required();
  options->sampling.add(*verb);
  return [=](const Context& context) {
    const PatchMethod method = parse_method(options->method);
    const Streams streams = parse_streams(options->streams);
    const auto pipeline = context.open(options->model);
    const SiteTable& table = pipeline->info().table;
    const std::vector<int> sites = parse_sites(options->sites, table);
    const auto heads = parse_heads(options->heads, table);
    std::vector<SitePatch> patches;
    for (int site : sites) {
      auto chosen = heads.find(site);
      patches.push_back({.site = site,
                         .prompt = 1,
                         .heads = chosen == heads.end() ? std::vector<int>{} : chosen->second,
                         .streams = streams,
                         .from_step = options->from_step,
                         .to_step = options->to_step});
    }
    for (const auto& [site, list] : heads)
      if (std::find(sites.begin(), sites.end(), site) == sites.end()) reject("--heads names site " + std::to_string(site) + ", --sites does not", "--heads");
    Request request = pipeline->resolve(options->sampling.request());
    request.prompts = {options->source, options->target};
    request.method = method;
    request.rows = {
        {0, context.common.seed, {}}, {1, context.common.seed, {}}, {0, context.common.seed, PatchPlan(patches), options->pooled == "target" ? 1 : 0}};
    pipeline->validate(request);
    auto reader = make_text_reader(options->ocr);  // a wrong engine is an error now, not after minutes
    const OutputFolder folder(options->out);
    auto result = pipeline->generate(request, {.progress = [&](const Progress& p) { context.show(p); }}, context.cancel);
    context.end_progress();
    if (!result) throw Failure(result.error());
    for (const auto& note : result->notes) context.say("note: " + note);

    const PromptPair pair{options->source, options->target, quoted_text(options->source), quoted_text(options->target)};
    const auto source_pieces = reader->read(result->images[0]);
    const char* names[] = {"source", "target", "patched"};
    nlohmann::ordered_json document = describe_image(pipeline->info(), request, request.rows[2]);
    document["schema"] = "glyphscope.patch/1";
    document["sites"] = sites;
    document["share"] = table.share(sites);
    document["ocr"] = reader->name();
    nlohmann::ordered_json images;
    for (int i = 0; i < 3; ++i) {
      write_png(folder / (std::string(names[i]) + ".png"), result->images[i], describe_image(pipeline->info(), request, request.rows[static_cast<size_t>(i)]));
      const Measurement one = measure(result->images[i], result->images[0], source_pieces, pair, *reader);
      nlohmann::ordered_json scores;
      for (const auto& [name, value] : one.scores)
        scores[name] = {{"mean", std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json(nullptr)}};
      images[names[i]] = {{"read", one.read}, {"scores", scores}};
    }
    document["images"] = images;
    document["seconds"] = {{"mean", result->seconds}};
    write_json(folder / "patch.json", document);
    context.print(document);
    if (context.common.json) return;
    for (const char* name : names) context.say(std::string(name) + ".png reads \"" + images[name]["read"].get<std::string>() + "\"");
    context.say("in " + folder.path().string());
  };
}

}  // namespace glyphscope::cli
