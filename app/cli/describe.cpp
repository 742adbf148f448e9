// The command line describes itself: its manual page and what a shell completes, of the same words as --help.
#include <cstdio>

#include "app/cli/cli.h"
#include "core/error.h"
#include "core/version.h"

namespace glyphscope::cli {

namespace {

// As troff reads it: a point or a quote at the start of a line is a command, and a minus is one that can be copied.
std::string roff(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n'))
      out += std::string("\\&") + c;
    else
      out += c;
  }
  return out;
}

std::string names_of(const CLI::Option& option) {
  std::string out;
  for (const auto& name : option.get_snames()) out += (out.empty() ? "" : ", ") + ("\\fB\\-" + roff(name) + "\\fR");
  for (const auto& name : option.get_lnames()) out += (out.empty() ? "" : ", ") + ("\\fB\\-\\-" + roff(name) + "\\fR");
  if (out.empty()) out = "\\fI" + roff(option.get_name()) + "\\fR";
  return out;
}

std::string options_text(const CLI::App& app) {
  std::string out;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group().empty()) continue;
    out += ".TP\n" + names_of(*option);
    if (option->get_expected_max() > 0 && !option->get_positional()) out += " \\fI" + roff(option->get_type_name()) + "\\fR";
    out += "\n" + roff(option->get_description());
    if (!option->get_default_str().empty()) out += roff(" (default: " + option->get_default_str() + ")");
    out += "\n";
  }
  return out;
}

std::vector<const CLI::App*> verbs_of(const CLI::App& app) {
  std::vector<const CLI::App*> out;
  for (const CLI::App* verb : app.get_subcommands({}))
    if (!verb->get_group().empty()) out.push_back(verb);
  return out;
}

std::string manual(const CLI::App& app) {
  std::string out = ".TH GLYPHSCOPE 1 \"\" \"Glyphscope " + version() +
                    "\" \"User Commands\"\n.SH NAME\nglyphscope \\- finds, shows and uses the attention layers of a diffusion model that write text\n";
  out += ".SH SYNOPSIS\n\\fBglyphscope\\fR [\\fIMODEL\\fR | \\fISESSION\\fR]\n.br\n\\fBglyphscope\\fR [\\fIOPTIONS\\fR] \\fIVERB\\fR ...\n";
  out += ".SH DESCRIPTION\n" + roff(app.get_description()) + "\n.SH OPTIONS\nOf all verbs.\n" + options_text(app) + ".SH VERBS\n";
  for (const CLI::App* verb : verbs_of(app)) out += ".SS " + roff(verb->get_name()) + "\n" + roff(verb->get_description()) + "\n" + options_text(*verb);
  out +=
      ".SH EXIT STATUS\n.TP\n0\nDone.\n.TP\n2\nThe input was wrong; the message names what and where.\n.TP\n3\nCancelled.\n.TP\n4\nOut of memory.\n.TP\n5\nA "
      "defect of Glyphscope.\n";
  out += ".SH FILES\n.TP\n~/Glyphscope\nThe workspace of the window: runs, and sessions as they were left.\n";
  return out;
}

// The choices that an option's type tells: TEXT:{a,b}.
std::string choices_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const size_t open = type.find('{'), close = type.find('}');
  if (open == std::string::npos || close == std::string::npos || close < open) return "";
  std::string out = type.substr(open + 1, close - open - 1);
  std::replace(out.begin(), out.end(), ',', ' ');
  return out;
}

std::string long_names(const CLI::App& app) {
  std::string out;
  for (const CLI::Option* option : app.get_options())
    for (const auto& name : option->get_lnames()) out += (out.empty() ? "" : " ") + ("--" + name);
  return out;
}

// Of each option with choices, a line of a shell's case.
std::string choice_cases(const CLI::App& app, const std::string& verb) {
  std::string out;
  for (const CLI::Option* option : app.get_options())
    if (const std::string choices = choices_of(*option); !choices.empty())
      for (const auto& name : option->get_lnames()) out += "    '" + verb + " --" + name + "') words='" + choices + "' ;;\n";
  return out;
}

std::string completion(const CLI::App& app) {
  std::string verbs, options, choices = choice_cases(app, "");
  for (const CLI::App* verb : verbs_of(app)) {
    verbs += (verbs.empty() ? "" : " ") + verb->get_name();
    options += "    " + verb->get_name() + ") words='" + long_names(*verb) + "' ;;\n";
    choices += choice_cases(*verb, verb->get_name());
  }
  return "# Completes glyphscope's verbs, options and choices in bash; written by `glyphscope describe bash`.\n"
         "_glyphscope() {\n"
         "  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb= word words=\n"
         "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD - 1}\"; do\n"
         "    case \" " +
         verbs +
         " \" in *\" $word \"*) verb=$word; break ;; esac\n"
         "  done\n"
         "  case \"$verb $before\" in\n" +
         choices +
         "  esac\n"
         "  if [ -z \"$words\" ]; then\n"
         "    case $current in\n"
         "      -*)\n"
         "        case $verb in\n" +
         options + "          '') words='" + long_names(app) +
         "' ;;\n"
         "        esac ;;\n"
         "      *) [ -n \"$verb\" ] || words='" +
         verbs +
         "' ;;\n"
         "    esac\n"
         "  fi\n"
         "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
         "}\n"
         "complete -o default -F _glyphscope glyphscope\n";
}

}  // namespace

Run add_describe(CLI::App& app) {
  auto what = std::make_shared<std::string>();
  CLI::App* verb = app.add_subcommand("describe", "Prints the manual page (man) or what bash completes (bash), for packages")->group("");
  verb->add_option("WHAT", *what, "man or bash")->required()->check(CLI::IsMember({"man", "bash"}));
  return [what, &app](const Context&) { std::fputs((*what == "man" ? manual(app) : completion(app)).c_str(), stdout); };
}

}  // namespace glyphscope::cli
