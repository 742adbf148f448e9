#include <torch/types.h>

#include <algorithm>
#include <sstream>

#include "io/files.h"
#include "io/image_file.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "pipelines/outcome.h"
#include "tasks/attention_view.h"
#include "tasks/session.h"
#include "text/weighted_prompt.h"

namespace glyphscope {

namespace {

using nlohmann::ordered_json;

// look.json: of each word its share of the attention, by site and by range of steps.
ordered_json describe(const event::AttentionReady& look, ordered_json image) {
  image["schema"] = "glyphscope.look/1";
  image["steps"] = look.steps;
  image["step_ranges"] = ordered_json::array();
  for (int range = 0; range < look.ranges; ++range) image["step_ranges"].push_back(steps_of_range(look, range));
  image["words"] = ordered_json::array();
  for (size_t word = 0; word < look.words.size(); ++word) {
    const auto share = [&](const std::vector<int>& sites, int first, int end) { return attention_of(look, static_cast<int>(word), sites, first, end).mean; };
    ordered_json sites = ordered_json::object(), ranges = ordered_json::array();
    for (const auto& site : look.sites) sites[std::to_string(site.site)] = share({site.site}, 0, look.ranges);
    for (int range = 0; range < look.ranges; ++range) ranges.push_back(share({}, range, range + 1));
    image["words"].push_back({{"word", look.words[word]}, {"share", share({}, 0, look.ranges)}, {"by_site", sites}, {"by_steps", ranges}});
  }
  return image;
}

// Those that spaces part, as they stand and without weights: some models read those, and some do not.
std::vector<std::string> words_of(const std::string& prompt) {
  std::vector<std::string> out;
  std::istringstream text(prompt + " " + WeightedPrompt::parse(prompt).text());
  for (std::string word; text >> word;)
    if (std::find(out.begin(), out.end(), word) == out.end()) out.push_back(word);
  if (out.empty()) reject("the prompt has no words", "prompt");
  return out;
}

}  // namespace

void look(Session& session, const command::Look& command, const Job& job) {
  job.tell(event::Started{"Drawing, and looking where"});
  event::AttentionReady ready;
  const auto pipeline = session.adapted(command.adapters, [&](const std::string& note) { ready.notes.push_back(note); });
  const ModelInfo& info = pipeline->info();
  for (const int site : command.sites)
    if (site < 0 || site >= static_cast<int>(info.table.sites.size()))
      reject("there is no site " + std::to_string(site), "sites", "The model has " + std::to_string(info.table.sites.size()) + " of them, from 0");
  for (const auto& [site, heads] : command.heads)
    for (const int head : heads)
      if (site < 0 || site >= static_cast<int>(info.table.sites.size()) || head < 0 || head >= info.table.sites[static_cast<size_t>(site)].heads)
        reject("site " + std::to_string(site) + " has no head " + std::to_string(head), "heads");
  // What cannot be is said before anything is drawn: models read words that spaces part, too.
  words_meant(words_of(command.prompt), command.prompt, command.words);
  Request request = pipeline->resolve(to_request(command.sampling));
  request.prompts = {command.prompt};
  const auto record = std::make_shared<AttentionRecord>();
  record->sites = command.sites;
  record->heads = command.heads;
  request.rows = {{.prompt = 0, .seed = command.sampling.seed, .look = record}};
  pipeline->validate(request);
  std::optional<OutputFolder> folder;
  if (!command.folder.empty()) folder.emplace(command.folder);
  const auto result = pipeline->generate(request, {.progress = job.progress()}, job.cancel);
  if (!result) throw Failure(result.error());
  ready.notes.insert(ready.notes.end(), result->notes.begin(), result->notes.end());
  note_outcomes(result->outcomes, {"the picture"}, ready.notes);
  // At sites that the guard patches it is another prompt's words that are read; and of what it withholds nothing is shown.
  if (const std::string outcome = outcome_of(*result, 0); !outcome.empty() && outcome != kAsAsked)
    reject("the guard changed what this prompt draws (" + outcome + "): where it looks is not shown", "guard", "Take a prompt without listed words");
  const ordered_json image = describe_image(info, request, request.rows[0], outcome_of(*result, 0));
  ready.picture = to_picture(result->images[0], json_text(image));
  ready.words = record->words;
  ready.steps = record->steps;
  ready.ranges = record->ranges;
  for (const auto& [number, site] : record->found) {
    std::vector<torch::Tensor> ranges;
    for (size_t range = 0; range < site.ranges.size(); ++range) {
      const torch::Tensor mean = site.mean(range);
      ranges.push_back(mean.defined() ? mean : torch::zeros({static_cast<std::int64_t>(ready.words.size()), site.height, site.width}));
    }
    const torch::Tensor all = torch::stack(ranges).contiguous();
    const auto* values = all.const_data_ptr<float>();
    ready.sites.push_back({number, static_cast<int>(site.height), static_cast<int>(site.width),
                           std::make_shared<const std::vector<float>>(values, values + all.numel()), site.calls});
  }
  if (ready.sites.empty()) reject("at none of these sites does the picture read the prompt", "sites");
  if (ready.words.empty()) reject("the prompt has no words that the model reads", "prompt");
  const std::vector<int> words = words_meant(ready.words, command.prompt, command.words);
  const ordered_json document = describe(ready, image);
  ready.document = json_text(document);
  if (folder) {
    write_json(*folder / "look.json", document);
    write_picture(*folder / "picture.png", ready.picture);
    std::map<std::string, torch::Tensor> maps;
    const auto count = static_cast<std::int64_t>(ready.words.size());
    for (const auto& site : ready.sites)
      maps["site." + std::to_string(site.site)] =
          torch::from_blob(const_cast<float*>(site.values->data()), {ready.ranges, count, site.height, site.width}).clone();
    write_safetensors(*folder / "look.safetensors", maps, {{"words", json_text(ready.words)}});
    write_figure(words_figure(ready), {}, *folder / "words.png", image);
    write_figure(sites_figure(ready, words), {}, *folder / "sites.png", image);
    write_figure(steps_figure(ready, words), {}, *folder / "steps.png", image);
  }
  job.tell(std::move(ready));
}

}  // namespace glyphscope
