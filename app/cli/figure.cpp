// Draws figures again, and puts several, and pictures, into one.
#include <torch/types.h>

#include <cstdio>

#include "app/cli/cli.h"
#include "io/files.h"
#include "io/image_file.h"
#include "plot/figure.h"

namespace glyphscope::cli {

namespace fs = std::filesystem;

namespace {

// What a file has to show: a figure's parts, or the picture itself.
DrawnFigure shown_by(const fs::path& file) {
  if (!has_picture_name(file) || holds_figure(file)) return read_figure(file);
  return {{.parts = {{file.stem().string(), PicturePanel{{}, {{{to_bitmap(read_image(file)), ""}}}}}}}, {}};
}

}  // namespace

Run add_figure(CLI::App& app) {
  struct Options {
    std::vector<std::string> files, titles;
    std::string out, colours, title, note;
    double width = -1, letters = 0;
    int dpi = 0, columns = 0;
    bool dark = false, light = false, bare = false, lettered = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand(
      "figure", "Draws a figure that Glyphscope wrote as PNG again, as PNG, SVG or PDF of any width; several, and pictures, as the parts of one");
  verb->add_option("FILES", options->files,
                   "PNGs of figures (heatmap.png, card.png, map-*.png, arena.png, training.png, figure.png, ..), JSON of a figure, or pictures")
      ->required();
  verb->add_option("--out", options->out, "The file: .png, .svg or .pdf; its values go beside it, into FILE.csv")->required();
  verb->add_option("--width", options->width, "Millimetres, 0 for as wide as it is read best (default: as it was)")->check(CLI::Range(0.0, 2000.0));
  verb->add_option("--dpi", options->dpi, "Dots per inch of a PNG (default: as it was)")->check(CLI::Range(36, 1200));
  verb->add_option("--letters", options->letters, "Points (default: as it was)")->check(CLI::Range(4.0, 24.0));
  verb->add_option("--colours", options->colours, "Of values (default: as it was)")->check(CLI::IsMember(colour_map_names()));
  auto* dark = verb->add_flag("--dark", options->dark, "Light letters on dark paper");
  verb->add_flag("--light", options->light, "Dark letters on white paper")->excludes(dark);
  verb->add_flag("--no-title", options->bare, "Without the figure's title and what stands below it");
  verb->add_option("--title", options->title, "Another title");
  verb->add_option("--note", options->note, "Another text under the figure");
  verb->add_option("--titles", options->titles, "Of the parts, in their order (repeatable)");
  verb->add_option("--columns", options->columns, "Parts beside each other (default: all, up to 3)")->check(CLI::Range(1, 20));
  verb->add_flag("--lettered", options->lettered, "a, b, c before the titles of parts");
  return [=](const Context& context) {
    DrawnFigure drawn = shown_by(options->files.front());
    Figure& figure = drawn.figure;
    FigureStyle& style = drawn.style;
    if (options->files.size() > 1) {
      // Of several the titles are those of their parts.
      figure = {};
      for (const auto& file : options->files) {
        Figure one = shown_by(file).figure;
        for (auto& part : one.parts) {
          if (part.title.empty()) part.title = one.title;
          figure.parts.push_back(std::move(part));
        }
      }
      constexpr size_t kBeside = 3;
      figure.columns = static_cast<int>(std::min(kBeside, figure.parts.size()));
    }
    if (options->titles.size() > figure.parts.size())
      reject("there are " + std::to_string(options->titles.size()) + " titles for " + std::to_string(figure.parts.size()) + " parts", "figure");
    for (size_t i = 0; i < options->titles.size(); ++i) figure.parts[i].title = options->titles[i];
    if (!options->title.empty()) figure.title = options->title, style.titles = true;
    if (!options->note.empty()) figure.note = options->note;
    if (options->columns > 0) figure.columns = options->columns;
    figure.lettered |= options->lettered;
    if (options->width >= 0) style.width_mm = options->width;
    if (options->dpi > 0) style.dpi = options->dpi;
    if (options->letters > 0) style.letters = options->letters;
    if (!options->colours.empty()) style.colours = colour_map_of(options->colours);
    if (options->dark || options->light) style.dark = options->dark;
    if (options->bare) style.titles = false;
    if (const std::string warning = colour_warning(style.colours); !warning.empty()) context.note(warning);
    for (const auto& file : options->files)
      if (std::error_code error; fs::equivalent(file, options->out, error))
        reject("the figure would be written over what it is made of", file, "Name another file");
    save_figure(figure, style, options->out, {{"files", options->files}});
    context.print({{"schema", "glyphscope.figure-drawn/1"}, {"figure", options->out}, {"parts", figure.parts.size()}, {"style", style.to_json()}});
    if (!context.common.json) std::printf("%s\n", options->out.c_str());
  };
}

}  // namespace glyphscope::cli
