#include "editing/term_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <random>

#include "core/unicode.h"
#include "editing/prompt_terms.h"
#include "io/files.h"
#include "io/resources.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {
using testing::golden;
using ::testing::HasSubstr;

// Words that harm nobody, as if they did.
const TermList kList({{"toxic", "lovely"},
                      {"venom", {}},
                      {"bad luck", "good luck"},
                      {"ass", {}},
                      {"gruñón", {}},
                      {"плохо", {}},
                      {"evil", {}},
                      {"war", {}},
                      {"sin", {}},
                      {"hell", {}},
                      {"fall", {}},
                      {"cock", {}},
                      {"thorp", {}},
                      {"tox", {}},
                      {"sex", {}},
                      {"rat", {}}});

std::vector<std::string> found(const std::string& text) {
  std::vector<std::string> out;
  for (const auto& match : kList.find(text)) out.push_back(text.substr(match.begin, match.end - match.begin));
  return out;
}

TEST(TermList, FindsEvasionsByTheirRule) {
  for (const char* text : {
           "toxic",         "TOXIC",
           "ToXiC",  // case
           "ｔｏｘｉｃ",    "ＴＯＸＩＣ",
           "ⓣⓞⓧⓘⓒ",                               // width and compatibility forms
           "𝐭𝐨𝐱𝐢𝐜",         "𝓽𝓸𝔁𝓲𝓬",              // mathematical letters
           "tóxic",         "t̷o̷x̷i̷c̷",              // accents and strokes over letters
           "to\u200Bxic",   "t\u00ADo\u2060xic",  // zero width, soft hyphen
           "tоxіс",                               // Cyrillic o, i and s
           "τοxic",         "ΤΟΧIC",              // Greek
           "t0xic",         "tox!c",
           "70x1c",         "+oxic",  // digits and signs
           "t o x i c",     "t.o.x.i.c",
           "t-o-x-i-c",     "T  O  X  I  C",
           "to-xic",        "t_oxic",
           "t*o*xic",       "t.........oxic",
           "t - - o x i c", "to'xic",  // apart
           "t 0 х ! c",                // several at once
           "EVlL",          "evIl",
           "heIl",          "vvar",  // letters that look alike
       }) {
    EXPECT_EQ(found(text), std::vector<std::string>{text}) << text;
    EXPECT_EQ(found(std::string("a sign that says \"") + text + "\" on a wall").size(), 1u) << text;
    EXPECT_EQ(found(std::string("so ") + text + "!").size(), 1u) << text;
  }
  EXPECT_EQ(found("bad  luck and BAD-LUCK"), (std::vector<std::string>{"bad  luck", "BAD-LUCK"}));
  EXPECT_EQ(found("grunon, GRUÑÓN"), (std::vector<std::string>{"grunon", "GRUÑÓN"}));
  EXPECT_EQ(found("очень ПЛОХО"), std::vector<std::string>{"ПЛОХО"});
  EXPECT_EQ(found("I h a t e v e n o m"), std::vector<std::string>{"v e n o m"});
  // Digits that hang on a word; one that stands for a letter is a letter.
  for (const char* text : {"toxic99", "4toxic", "TOXIC2", "70x1c5"}) EXPECT_EQ(found(text).size(), 1u) << text;
  EXPECT_EQ(found("verrnin, venorn"), std::vector<std::string>{"venorn"});
  // In several words, within quotation marks, which hold what is to be written.
  for (const char* text : {"says \"TO XIC\"", "says \"SO TOX IC NOW\"", "says \u201CT OXIC\u201D", "\"bad lu ck\""}) EXPECT_EQ(found(text).size(), 1u) << text;
  EXPECT_EQ(kList.find("SO TO XIC", true).size(), 1u);
  // Words run together where they are written; an apostrophe that the language has not there; spaces, which are read as one; what encoders alone read.
  EXPECT_EQ(kList.find("BADLUCK", true).size(), 1u);
  for (const char* text : {"\"BADLUCK\"", "he'XIC to'xic", "EVI'LL so evi'l", "RA'T", "W'AR", "AS'S", "t                              o x i c",
                           "\"TO<pad>XIC\"", "\"TO</s>XIC\"", "\"TO[SEP]XIC\"", "to<|endoftext|>xic", "ᴛᴏxɪᴄ", "🆃🅾🆇🅸🅲", "🇹🇴🇽🇮🇨"})
    EXPECT_EQ(found(text).size(), 1u) << text;
  // A hyphen in a term is there or not.
  const TermList hyphen(std::vector<Term>{{"bad-luck", {}}});
  for (const char* text : {"bad-luck", "bad luck", "badluck", "BAD - LUCK"}) EXPECT_EQ(hyphen.find(text).size(), 1u) << text;
}

TEST(TermList, LeavesNearMissesAlone) {
  for (const char* text : {"toxicology", "intoxicated", "detoxic", "toxi", "oxic", "tonic", "Toxteth", "class", "pass the glass", "Assam", "as soon", "a s",
                           "455", "room 455", "bad, but luck helps", "badluck", "luck bad", "Scunthorpe", "Cockburn", "venomous", "v e n", "t o n i c", "a5",
                           // Place names and words that hold a term: only whole words count.
                           "Thorpeness", "Mablethorpe", "Essex", "Sussex", "Middlesex", "Warsaw", "Warwick", "Singapore", "Bratislava", "Ratingen", "Penistone",
                           "Cocktail", "peacock", "Helsinki", "Hellas",
                           // Look-alikes: a word of its own, in its own letters.
                           "fail", "FAIL", "Fail", "heil", "mail",
                           // Width, accents and what cannot be seen take no letter away.
                           "ｔｏｎｉｃ", "tónico", "to\u200Bnic", "ΤΟΝΙC", "τόνος",
                           // Digits and signs: numbers, and words with a letter beyond the digit.
                           "45512", "a$", "tox1city", "w4rd", "ra7e",
                           // Set apart: other words, contractions, and several words outside of quotation marks.
                           "he'll", "it's in", "\"IT'S IN\"", "we're at", "to xic", "go to, X, I see", "\"WA RM\"", "h.e.l.p",
                           // Numbers beside words, in phrases as signs have them.
                           "\"ONLY 5 IN STOCK\"", "\"5 IN 1\"", "a 5-in-1 tool", "\"GATE 11 E\"", "\"8 AD\"", "let's in", "\"BOB'S IN\"", "she'll, we'll, I'll",
                           "bad-lucky", "<pad>", "\"TO <b>\""})
    EXPECT_TRUE(found(text).empty()) << text << ": " << (found(text).empty() ? "" : found(text)[0]);
  EXPECT_EQ(found("the ass's ears").size(), 1u);
  EXPECT_TRUE(found("").empty());
  EXPECT_TRUE(found("\xff\xfe \x80").empty());
}

// A row a kind, with words that harm nobody: how many of its disguises are missed, or of its harmless texts flagged. Printed, and bounded.
TEST(TermList, KindsOfDisguisesAndOfHarmlessTexts) {
  struct Kind {
    const char* name;
    bool listed;
    std::vector<std::string> texts;
    size_t most;  // mistakes that are known
  };
  const TermList list({{"toxic", {}},
                       {"venom", {}},
                       {"evil", {}},
                       {"sin", {}},
                       {"rat", {}},
                       {"ass", {}},
                       {"kill", {}},
                       {"hate", {}},
                       {"ugly", {}},
                       {"fool", {}},
                       {"rad", {}},
                       {"war", {}}});
  const Kind kinds[] = {
      {"letters again and again", true, {"toxiiic", "tttoxic", "EEEVIL", "sssin", "raaat", "killlll", "haaaate", "uglyyyy", "fooool", "toooxxxic"}, 0},
      {"other forms",
       true,
       {"hates",   "hated",  "hating", "hater",   "kills",  "killed", "killing", "killer", "sins",    "sinned", "sinning", "fools",
        "fooling", "fooled", "uglier", "ugliest", "venoms", "asses",  "rats",    "ratted", "warring", "wars",   "TOXICS"},
       0},
      {"stars", true, {"t*xic", "to*ic", "t*x*c", "h*te", "h**e", "k*ll", "s*n", "ev*l", "f**l", "u*ly"}, 0},
      {"split by single quotes",
       true,
       {"says 'TO XIC'", "says \u2018HA TE\u2019", "says `KI LL`", "\"TO\" \"XIC\"", "'TO' 'XIC'", "\u00abHA\u00bb \u00abTE\u00bb", "to'xic"},
       0},
      {"plates", false, {"R4T 12", "S1N 777", "\"W4R 55\"", "4S5", "A55 123"}, 0},
      {"routes", false, {"A55", "the A55 to Chester", "\"A55\""}, 0},
      {"initials", false, {"A.S.S.", "R.A.T. Smith", "S.I.N. Jones", "signed: W.A.R."}, 0},
      {"units", false, {"5 rad", "0.3 rad", "12 rad/s"}, 0},
      {"functions", false, {"sin(x)", "y = sin(2x)", "\"sin(3t)\"", "sin(a+b)"}, 0},
      {"other words",
       false,
       {"rating",  "rated",     "rate", "sine", "since", "single", "singing",    "sink",     "class", "asset",    "assess", "killjoy", "hat",  "hats", "hatch",
        "foolish", "foolproof", "warm", "warn", "ward",  "radio",  "toxicology", "venomous", "devil", "evildoer", "as",     "goood",   "it's", "2*3*4"},
       0},
  };
  for (const auto& kind : kinds) {
    std::vector<std::string> wrong;
    for (const auto& text : kind.texts)
      if (list.find(text).empty() == kind.listed) wrong.push_back(text);
    std::printf("%-26s %s %zu of %zu\n", kind.name, kind.listed ? "missed" : "flagged", wrong.size(), kind.texts.size());
    EXPECT_LE(wrong.size(), kind.most) << kind.name << ": " << ::testing::PrintToString(wrong);
  }
}

TEST(TermList, SaysBehindWhatATermHides) {
  using Ways = std::vector<std::string>;
  const auto ways = [](const std::string& text) {
    const auto found = kList.find(text);
    return found.size() == 1 ? kList.disguises(text, found[0]) : Ways{"not found"};
  };
  EXPECT_EQ(ways("so toxic"), Ways());
  EXPECT_EQ(ways("bad luck"), Ways());
  EXPECT_EQ(ways("gruñón"), Ways{"invisible characters or accents"});  // its letters are compared without
  EXPECT_EQ(ways("TOXIC"), Ways{"case or width"});
  EXPECT_EQ(ways("ｔｏｘｉｃ"), Ways{"case or width"});
  EXPECT_EQ(ways("to\u200Bxic"), Ways{"invisible characters or accents"});
  EXPECT_EQ(ways("tóxic"), Ways{"invisible characters or accents"});
  EXPECT_EQ(ways("tоxіс"), Ways{"letters that look alike"});
  EXPECT_EQ(ways("EVlL"), (Ways{"case or width", "letters that look alike"}));
  EXPECT_EQ(ways("t0xic"), Ways{"digits or signs for letters"});
  EXPECT_EQ(ways("t o x i c"), Ways{"letters set apart"});
  EXPECT_EQ(ways("BAD-LUCK"), Ways{"case or width"});
  EXPECT_EQ(ways("a t.0 х ! c"), (Ways{"letters that look alike", "digits or signs for letters", "letters set apart"}));
}

// With the weights of a prompt, which are no part of what its readers see.
TEST(TermList, PromptsAreReadWithoutWeights) {
  EXPECT_EQ(find_terms(kList, "a (TO:1.2)XIC wall").found.size(), 1u);
  EXPECT_EQ(find_terms(kList, "says (\"TOXIC\":1.2)").found.size(), 1u);
  EXPECT_EQ(find_terms(kList, "a TO(XIC:1.0) wall").text, "a TOXIC wall");
  EXPECT_EQ(find_terms(kList, "says \"TO(XIC:1.0)\"").text, "says \"TO(XIC:1.0)\"") << "what is quoted is written as it stands";
  EXPECT_TRUE(find_terms(kList, "(a t:1.2)onic").found.empty());
  EXPECT_EQ(cleared_prompt(kList, "says (\"TOXIC\":1.2) on a (wall:0.5)"), "says (\"LOVELY\":1.2) on a (wall:0.5)");
  EXPECT_EQ(cleared_prompt(kList, "a TO(XIC:1.5) wall \\(so\\)"), "a LOVELY wall \\(so\\)");
  EXPECT_EQ(cleared_prompt(kList, "a (wall:1.20)"), "a (wall:1.20)") << "what has no term stays as it was written";
}

TEST(TermList, ReplacesInPlace) {
  EXPECT_EQ(cleared_prompt(kList, "a sign that says \"TOXIC\" on a wall"), "a sign that says \"LOVELY\" on a wall");
  EXPECT_EQ(cleared_prompt(kList, "t0xic Bad Luck, venom!"), "lovely good luck, !");
  EXPECT_EQ(cleared_prompt(kList, "nothing of it"), "nothing of it");
  // What is taken out may have stood between the letters of another.
  EXPECT_TRUE(find_terms(kList, cleared_prompt(kList, "say \"e venom vil\"")).found.empty());
}

TEST(TermList, LinesThatAreNoTermAreNamed) {
  const auto error = [](const std::string& text) { return testing::failure_of([&] { (void)TermList::parse(text, "words.txt"); }); };
  EXPECT_THAT(error("one\ntwo\u2028three\n"), AllOf(HasSubstr("control character"), HasSubstr("words.txt, line 2")));
  EXPECT_THAT(error("one\x1b[31m\n"), HasSubstr("control character"));
  EXPECT_EQ(error("bad\tluck\n"), "") << "a tab is a space";
  EXPECT_EQ(TermList::parse("c# # a language\n# nothing\n", "words.txt").terms().at(0).text, "c#");
  testing::TemporaryFolder folder;
  write_text(folder / "words.txt", "# none yet\n");
  EXPECT_THAT(testing::failure_of([&] { TermList::read(folder / "words.txt"); }), AllOf(HasSubstr("no term"), HasSubstr("words.txt")));
}

TEST(TermList, ReadsAFile) {
  const testing::TemporaryFolder folder;
  write_text(folder / "terms.txt", "# a list\n\ntoxic => lovely  # a comment\nbad luck\r\n");
  const TermList list = TermList::read(folder / "terms.txt");
  ASSERT_EQ(list.terms().size(), 2u);
  EXPECT_EQ(list.terms()[0].replacement, "lovely");
  EXPECT_EQ(list.terms()[1].text, "bad luck");
  EXPECT_FALSE(list.terms()[1].replacement);
  write_text(folder / "terms.txt", "toxic\n--- => b\n");
  EXPECT_THAT(testing::failure_of([&] { TermList::read(folder / "terms.txt"); }), ::testing::AllOf(HasSubstr("line 2"), HasSubstr("no letter")));
  EXPECT_THAT(testing::failure_of([&] { TermList::read(folder / "none.txt"); }), HasSubstr("none.txt"));
}

// At most 1 % of 100,000 random decorations are missed, several at once among them; and at most 0.5 % of 10,000 harmless words are taken for a term: of
// the list that ships, whose words are short, and of longer ones.
TEST(TermList, RandomDecorationsAreFound) {
  std::mt19937 random(7);
  const auto below = [&](size_t count) { return std::uniform_int_distribution<size_t>(0, count - 1)(random); };
  const auto chance = [&](double share) { return std::uniform_real_distribution<>(0, 1)(random) < share; };
  std::vector<Term> longer;
  for (const char* term : {"toxic", "venom", "poison", "cruel", "wicked", "hatred", "scorn", "malice", "vermin", "rotten"}) longer.push_back({term, {}});
  // Letters of other scripts that look like ours: not the program's own table.
  const std::map<char, std::vector<const char*>> alike{{'a', {"а", "α", "ɑ"}}, {'c', {"с", "ϲ"}}, {'e', {"е"}},      {'h', {"һ"}}, {'i', {"і", "ι"}},
                                                       {'k', {"κ", "к"}},      {'o', {"о", "ο"}}, {'p', {"р", "ρ"}}, {'s', {"ѕ"}}, {'t', {"т", "τ"}},
                                                       {'v', {"ν", "ѵ"}},      {'x', {"х"}},      {'m', {"м"}}};
  const std::map<char, const char*> leet{{'a', "4@"}, {'e', "3"}, {'i', "1!"}, {'o', "0"}, {'s', "5$"}, {'t', "7+"}, {'l', "1|"}, {'g', "9"}, {'b', "8"}};
  const std::vector<char32_t> invisible{0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0x00AD};
  const std::vector<const char*> gaps{" ", ".", "-", "_", "*", " . ", "  ", "....."};
  enum Way : unsigned { kWidth = 1, kAccents = 2, kInvisible = 4, kAlike = 8, kLeet = 16, kGaps = 32, kDigits = 64, kAllWays = 127 };
  const auto decorated = [&](const std::string& term) {
    // Mostly one way; else any of them together.
    const unsigned ways = chance(0.6) ? 1U << below(7) : static_cast<unsigned>(below(kAllWays + 1));
    const double share = std::uniform_real_distribution<>(0.2, 1)(random);
    const char* gap = gaps[below(gaps.size())];
    std::string made;
    for (size_t at = 0; at < term.size(); ++at) {
      const char letter = term[at];
      const auto takes = [&](Way way) { return (ways & way) != 0 && chance(share); };
      std::string one(1, chance(0.5) ? letter : static_cast<char>(letter - 'a' + 'A'));
      if (takes(kWidth)) one = encode_utf8({static_cast<char32_t>(0xFF41 + (letter - 'a'))});
      if (takes(kAlike) && alike.contains(letter)) one = alike.at(letter)[below(alike.at(letter).size())];
      if (takes(kLeet) && leet.contains(letter)) one = leet.at(letter)[below(std::string(leet.at(letter)).size())];
      if (takes(kAccents)) one += encode_utf8({static_cast<char32_t>(0x0300 + below(0x30))});
      if (takes(kInvisible)) one += encode_utf8({invisible[below(invisible.size())]});
      if ((ways & kGaps) != 0 && at > 0) made += gap;
      made += one;
    }
    return (ways & kDigits) != 0 && (ways & kGaps) == 0 ? made + std::to_string(below(100)) : made;
  };
  std::ifstream file(golden("harmless_words.txt"));
  std::vector<std::string> harmless;
  for (std::string line; std::getline(file, line);) harmless.push_back(line);
  ASSERT_EQ(harmless.size(), 10'000u);

  for (const TermList& guard : {TermList::read(resource("words/guard.txt")), TermList(longer)}) {
    constexpr int kCount = 50'000;
    int missed = 0, alarms = 0;
    std::string shown;
    for (int i = 0; i < kCount; ++i) {
      const std::string made = decorated(guard.terms()[below(guard.terms().size())].text);
      if (!guard.find("a sign that says \"" + made + "\"").empty()) continue;
      ++missed;
      if (shown.size() < 400) shown += made + "\n";
    }
    for (const auto& word : harmless) {
      if (guard.find(word).empty()) continue;
      ++alarms;
      if (shown.size() < 800) shown += word + "\n";
    }
    std::printf("missed %d of %d decorations; %d false alarms in %zu harmless words\n", missed, kCount, alarms, harmless.size());
    EXPECT_LE(missed, kCount / 100) << shown;
    EXPECT_LE(alarms, static_cast<int>(harmless.size() / 200)) << shown;
  }
}

}  // namespace
}  // namespace glyphscope
