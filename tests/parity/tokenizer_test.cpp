// tokenizer.json as transformers 5 writes it, against the tokenizers library: tests/golden/make_tokenizer_json.py.
#include "text/tokenizer.h"
#include "text/t5_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/files.h"
#include "tests/support/golden.h"
#include "text/clip_tokenizer.h"
#include "text/roberta_tokenizer.h"
#include "text/tokenizer_files.h"
#include "text/word_piece_tokenizer.h"

namespace glyphscope {
namespace {
using ::testing::AllOf;
using testing::golden;
using ::testing::HasSubstr;

std::vector<std::int64_t> ids_of(const Tokenizer& tokenizer, const std::string& text) {
  std::vector<std::int64_t> out;
  for (const auto& piece : tokenizer.pieces(text)) out.push_back(piece.id);
  return out;
}

// The document, and what older files of the same tokenizer say.
struct JsonTokenizerParity : ::testing::TestWithParam<const char*> {};

TEST_P(JsonTokenizerParity, OddTextsHaveTheLibrarysIds) {
  const auto folder = golden("tokenizer_json") / GetParam();
  const Tokenizer tokenizer(read_json(folder / "tokenizer.json"), folder.string());
  int count = 0, differ = 0;
  for (const auto& one : read_json(folder / "expected.json")) {
    const auto text = one[0].get<std::string>();
    ++count;
    const auto ids = ids_of(tokenizer, text);
    if (ids == one[1].get<std::vector<std::int64_t>>()) continue;
    if (++differ <= 5) ADD_FAILURE() << nlohmann::json(text) << "\n  " << one[1].dump() << "\n  " << nlohmann::json(ids).dump();
  }
  EXPECT_EQ(count, 1000);
  EXPECT_EQ(differ, 0);
}

// SDXL's two tokenizers differ in what pads alone; another vocabulary is not taken for theirs.
TEST(Tokenizers, OfTheSameFilesShareThemAndNoOthers) {
  const testing::TemporaryFolder folder;
  for (const char* name : {"same", "other"}) std::filesystem::copy(golden("tokenizer"), folder / name, std::filesystem::copy_options::recursive);
  nlohmann::json vocabulary = read_json(folder / "other" / "vocab.json");
  const std::int64_t a = vocabulary.at("a</w>"), b = vocabulary.at("b</w>");
  vocabulary["a</w>"] = b;
  vocabulary["b</w>"] = a;
  write_text(folder / "other" / "vocab.json", vocabulary.dump());
  const Tokenizer first = read_clip_tokenizer(golden("tokenizer")), same = read_clip_tokenizer(folder / "same"), other = read_clip_tokenizer(folder / "other");
  EXPECT_EQ(first.pieces("a")[0].id, a);
  EXPECT_EQ(same.pieces("a")[0].id, a);
  EXPECT_EQ(other.pieces("a")[0].id, b);
}

TEST_P(JsonTokenizerParity, OlderFilesSayTheSame) {
  const std::string name = GetParam();
  const auto folder = name == "clip" ? golden("tokenizer") : name == "bert" ? golden("tokenizer_bert") : golden("roberta");
  const Tokenizer whole(read_json(golden("tokenizer_json") / name / "tokenizer.json"), name);
  const Tokenizer parts =
      name == "clip" ? read_clip_tokenizer(folder) : Tokenizer(name == "bert" ? read_bert_tokenizer(folder) : read_roberta_tokenizer(folder), name);
  for (const auto& one : read_json(golden("tokenizer_json") / name / "expected.json")) {
    const auto text = one[0].get<std::string>();
    // RoBERTa's special tokens are none there.
    const auto a = whole.pieces(text, name != "roberta"), b = parts.pieces(text, name != "roberta");
    ASSERT_EQ(a.size(), b.size()) << one[0].dump();
    for (size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a[i].id, b[i].id) << one[0].dump();
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, JsonTokenizerParity, ::testing::Values("clip", "bert", "roberta"));

// Small tokenizers of every step that none of these has.
TEST(JsonTokenizer, EveryStepIsTheLibrarys) {
  int tokenizers = 0, cases = 0;
  for (const auto& one : read_json(golden("tokenizer_json") / "steps.json")) {
    SCOPED_TRACE(one["name"].get<std::string>());
    const Tokenizer tokenizer(one["tokenizer"], "tokenizer.json");
    ++tokenizers;
    int differ = 0;
    for (const auto& each : one["cases"]) {
      const auto ids = ids_of(tokenizer, each[0].get<std::string>());
      ++cases;
      if (ids == each[1].get<std::vector<std::int64_t>>()) continue;
      if (++differ <= 3) ADD_FAILURE() << each[0].dump() << "\n  " << each[1].dump() << "\n  " << nlohmann::json(ids).dump();
    }
    EXPECT_EQ(differ, 0);
  }
  EXPECT_EQ(tokenizers, 13);
  EXPECT_GT(cases, 1500);
}

TEST(JsonTokenizer, FoldersWithOneFileAreRead) {
  const testing::TemporaryFolder folder;
  const auto only = [&](const char* name) {
    write_text(folder / "tokenizer.json", read_text(golden("tokenizer_json") / name / "tokenizer.json"));
    return folder.path();
  };
  EXPECT_EQ(ClipTokenizer::load(only("clip")).encode("a sign"), ClipTokenizer::load(golden("tokenizer")).encode("a sign"));
  EXPECT_EQ(WordPieceTokenizer::load(only("bert")).encode("a sign"), WordPieceTokenizer::load(golden("tokenizer_bert")).encode("a sign"));
  EXPECT_EQ(RobertaTokenizer::load(only("roberta")).encode("a sign", 20), RobertaTokenizer::load(golden("roberta")).encode("a sign", 20));
  EXPECT_THAT(testing::failure_of([&] { ClipTokenizer::load(only("bert")); }), HasSubstr("no BPE tokenizer: its model is of type 'WordPiece'"));
  EXPECT_THAT(testing::failure_of([&] { WordPieceTokenizer::load(only("clip")); }), HasSubstr("no WordPiece tokenizer: its model is of type 'BPE'"));
}

// Tokens that a user has added (textual inversion) are read wherever transformers has written them.
TEST(JsonTokenizer, AddedTokensOfOlderFilesAreRead) {
  const testing::TemporaryFolder folder;
  for (const char* name : {"vocab.json", "merges.txt", "special_tokens_map.json", "tokenizer_config.json"})
    std::filesystem::copy_file(golden("tokenizer") / name, folder / name);
  const auto plain = ClipTokenizer::load(folder.path()).encode("a <sks> sign");
  EXPECT_THAT(plain, ::testing::Not(::testing::Contains(814)));
  write_text(folder / "added_tokens.json", "{\"<sks>\": 814}");
  const auto listed = ClipTokenizer::load(folder.path()).encode("a <sks> sign");
  std::filesystem::remove(folder / "added_tokens.json");
  nlohmann::json settings = read_json(folder / "tokenizer_config.json");
  settings["added_tokens_decoder"]["814"] = {{"content", "<sks>"}, {"normalized", true}, {"special", false}};
  write_text(folder / "tokenizer_config.json", settings.dump());
  EXPECT_EQ(ClipTokenizer::load(folder.path()).encode("a <sks> sign"), listed);
  settings["added_tokens_decoder"]["x"] = {{"content", "<other>"}};
  write_text(folder / "tokenizer_config.json", settings.dump());
  EXPECT_THAT(testing::failure_of([&] { ClipTokenizer::load(folder.path()); }), HasSubstr("the id 'x', which is no whole number"));
  // a, the token, sign: none of it is letters.
  const ClipTokenizer tokenizer = ClipTokenizer::load(golden("tokenizer"));
  std::vector<std::int64_t> expected = tokenizer.encode("a");
  expected.push_back(814);
  for (const auto id : tokenizer.encode("sign")) expected.push_back(id);
  EXPECT_EQ(listed, expected);
  // A tokenizer.json whose padding is told beside it: the token is one that is found in the text.
  for (const char* name : {"vocab.json", "merges.txt"}) std::filesystem::remove(folder / name);
  std::filesystem::copy_file(golden("tokenizer_json") / "clip/tokenizer.json", folder / "tokenizer.json");
  write_text(folder / "tokenizer_config.json", "{\"pad_token\": \"!\"}");
  std::filesystem::remove(folder / "special_tokens_map.json");
  const Tokens padded = ClipTokenizer::load(folder.path()).tokenize("a!", 8);
  EXPECT_EQ(padded.ids.back(), ClipTokenizer::load(folder.path()).encode("!").at(0));
}

// transformers 5 rewrites tokenizer.json alone when a token is added: older files stay beside it.
TEST(JsonTokenizer, TheNewestFileCounts) {
  const testing::TemporaryFolder folder;
  for (const char* name : {"vocab.json", "merges.txt"}) std::filesystem::copy_file(golden("tokenizer") / name, folder / name);
  nlohmann::json document = read_json(golden("tokenizer_json") / "clip/tokenizer.json");
  const auto id = ClipTokenizer::load(golden("tokenizer")).encode("a").at(0);
  document["added_tokens"].push_back({{"content", "<cat-toy>"}, {"id", 814}, {"normalized", true}});
  write_text(folder / "tokenizer.json", document.dump());
  EXPECT_EQ(ClipTokenizer::load(folder.path()).encode("a <cat-toy>"), (std::vector<std::int64_t>{id, 814}));
}

TEST(JsonTokenizer, MergesThatDoNotFitAreNamed) {
  const testing::TemporaryFolder folder;
  for (const char* name : {"vocab.json", "merges.txt"}) std::filesystem::copy_file(golden("tokenizer") / name, folder / name);
  const auto failure = [&](const std::string& merges) {
    write_text(folder / "merges.txt", merges);
    return testing::failure_of([&] { ClipTokenizer::load(folder.path()); });
  };
  const std::string whole = read_text(golden("tokenizer") / "merges.txt");
  EXPECT_EQ(failure(whole), "");
  EXPECT_THAT(failure("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 524619\n"), AllOf(HasSubstr("Git LFS pointer"), HasSubstr("merges.txt")));
  EXPECT_THAT(failure("<!DOCTYPE html>\n<html class=\"\">\n"), HasSubstr("web page"));
  EXPECT_THAT(failure("#version: 0.2\nzzzq zzzw\n"), AllOf(HasSubstr("merge 1 is of 'zzzq'"), HasSubstr("the vocabulary lacks")));
  const size_t last = whole.rfind(' ');
  EXPECT_THAT(failure(whole.substr(0, last + 1)), HasSubstr("the vocabulary lacks")) << "cut in its last line";
  std::filesystem::remove(folder / "merges.txt");
  EXPECT_THAT(testing::failure_of([&] { ClipTokenizer::load(folder.path()); }), HasSubstr("merges.txt is missing"));
  write_text(folder / "spiece.model", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 791656\n");
  EXPECT_THAT(testing::failure_of([&] { T5Tokenizer::load(folder.path()); }), HasSubstr("Git LFS pointer"));
}

TEST(JsonTokenizer, WhatIsWrongIsNamed) {
  const nlohmann::json good = read_json(golden("tokenizer_json") / "clip/tokenizer.json");
  const auto failure = [&](const std::function<void(nlohmann::json&)>& change) {
    nlohmann::json document = good;
    change(document);
    return testing::failure_of([&] { Tokenizer(document, "tokenizer.json"); });
  };
  EXPECT_EQ(failure([](auto&) {}), "");
  EXPECT_THAT(failure([](auto& json) { json["model"]["type"] = "Unigram"; }), HasSubstr("of type 'Unigram'"));
  EXPECT_THAT(failure([](auto& json) { json["model"].erase("vocab"); }), HasSubstr("vocab"));
  EXPECT_THAT(failure([](auto& json) { json["model"]["vocab"]["a"] = -1; }), HasSubstr("the id of token 'a' is no whole number"));
  EXPECT_THAT(failure([](auto& json) { json["model"]["merges"] = {"abc"}; }), HasSubstr("merge 1 is no pair of tokens: 'abc'"));
  EXPECT_THAT(failure([](auto& json) { json["model"]["merges"] = {7}; }), HasSubstr("merges"));
  EXPECT_THAT(failure([](auto& json) { json["model"]["unk_token"] = "<none>"; }), HasSubstr("lacks the token '<none>'"));
  EXPECT_THAT(failure([](auto& json) { json["model"]["dropout"] = 0.1; }), HasSubstr("leaves merges out by chance (dropout 0.1)"));
  EXPECT_THAT(failure([](auto& json) { json["normalizer"] = {{"type", "Nmt"}}; }), HasSubstr("normalizer is of type 'Nmt'"));
  EXPECT_THAT(failure([](auto& json) { json["pre_tokenizer"] = {{"type", "UnicodeScripts"}}; }), HasSubstr("pre_tokenizer is of type 'UnicodeScripts'"));
  EXPECT_THAT(failure([](auto& json) { json["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {{"Regex", "(["}}; }), HasSubstr("pattern '([' cannot be read"));
  EXPECT_THAT(failure([](auto& json) { json["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Dropped"; }), HasSubstr("behaves as 'Dropped'"));
  EXPECT_THAT(failure([](auto& json) { json["added_tokens"][0]["content"] = ""; }), HasSubstr("an added token is empty"));
  EXPECT_THAT(failure([](auto& json) { json["added_tokens"] = 7; }), HasSubstr("added_tokens"));
  EXPECT_THAT(failure([](auto& json) { json = nlohmann::json::array(); }), HasSubstr("no tokenizer as the tokenizers library writes one"));
}

// A pattern that takes longer than a life is stopped.
TEST(JsonTokenizer, PatternsThatTakeTooLongAreStopped) {
  nlohmann::json document = read_json(golden("tokenizer_json") / "clip/tokenizer.json");
  document["pre_tokenizer"] = {{"type", "Split"}, {"pattern", {{"Regex", "(x+x+)+y"}}}, {"behavior", "Isolated"}, {"invert", false}};
  const Tokenizer tokenizer(document, "tokenizer.json");
  EXPECT_THAT(testing::failure_of([&] { tokenizer.pieces(std::string(5000, 'x')); }), HasSubstr("takes too long"));
  EXPECT_GT(tokenizer.pieces("a sign").size(), 0u);
}

}  // namespace
}  // namespace glyphscope
