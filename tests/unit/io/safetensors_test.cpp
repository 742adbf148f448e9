#include "io/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/resource.h>
#include <sys/stat.h>

#include <fstream>

#include "core/random.h"
#include "io/files.h"
#include "io/mapped_files.h"
#include "io/weights.h"
#include "models/layers.h"
#include "tests/support/golden.h"
#include "tests/support/process_memory.h"

namespace glyphscope {
namespace {
using testing::failure_of;
using ::testing::HasSubstr;

// A file with this header text and this many bytes of data; `claimed` replaces the header's true length.
struct Forged : testing::TemporaryFolder {
  std::string open(const std::string& header, size_t data, std::optional<std::uint64_t> claimed = {}) {
    const std::uint64_t length = claimed.value_or(header.size());
    std::string bytes(reinterpret_cast<const char*>(&length), 8);
    write_text(*this / "forged.safetensors", bytes + header + std::string(data, '\0'));
    return failure_of([&] { SafetensorsFile(*this / "forged.safetensors"); });
  }
};

std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"w":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
}

// What the reference (0.8) reads: white space before the header, metadata that are null, types that torch does not have.
TEST(Safetensors, ReadsEveryHeaderThatTheReferenceReads) {
  Forged forged;
  EXPECT_EQ(forged.open("  " + entry("F32", "[2]", "[0,8]"), 8), "");
  EXPECT_EQ(forged.open("\n\t" + entry("F32", "[2]", "[0,8]"), 8), "");
  EXPECT_THAT(forged.open("  ", 0), HasSubstr("does not start with '{'"));
  EXPECT_EQ(forged.open(R"({"__metadata__":null,"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8), "");
  for (const char* type : {"U64", "C64", "I64", "F64"}) EXPECT_EQ(forged.open(entry(type, "[2]", "[0,16]"), 16), "") << type;
  for (const char* type : {"F8_E4M3", "F8_E5M2", "F8_E8M0", "U8", "I8", "BOOL"}) EXPECT_EQ(forged.open(entry(type, "[2]", "[0,2]"), 2), "") << type;
  EXPECT_EQ(forged.open(entry("F4", "[4]", "[0,2]"), 2), "");
  EXPECT_EQ(forged.open(entry("F6_E2M3", "[4]", "[0,3]"), 3), "");
  EXPECT_THAT(failure_of([&] { SafetensorsFile(forged / "forged.safetensors").tensor("w"); }), HasSubstr("F6_E2M3 cannot be computed with"));
  EXPECT_THAT(forged.open(entry("F4", "[3]", "[0,1]"), 1), HasSubstr("whole bytes"));
  EXPECT_THAT(forged.open(entry("F5", "[8]", "[0,5]"), 5), HasSubstr("no dtype 'F5'"));
}

// A file begins with its header's length, whose lowest byte may be any: 0x80 is also how a pickle begins.
TEST(Safetensors, HeadersOfEveryLengthAreRead) {
  Forged forged;
  std::string header = entry("F32", "[2]", "[0,8]");
  for (header.resize(100, ' '); header.size() <= 1500; header += ' ') ASSERT_EQ(forged.open(header, 8), "") << header.size();
}

TEST(Safetensors, WritesWhatItReads) {
  testing::TemporaryFolder folder;
  std::map<std::string, torch::Tensor> tensors;
  auto generator = make_generator(1);
  int i = 0;
  for (auto dtype : {torch::kFloat32, torch::kFloat16, torch::kBFloat16, torch::kFloat64})
    tensors["t" + std::to_string(i++)] = torch::randn({3, 5}, generator).to(dtype);
  tensors["ids"] = torch::arange(7);
  tensors["empty"] = torch::empty({0, 4});
  tensors["scalar"] = torch::tensor(2.5f);
  tensors["strided"] = torch::randn({4, 6}, generator).t();
  write_safetensors(folder / "a.safetensors", tensors, {{"who", "glyphscope"}});
  const SafetensorsFile file(folder / "a.safetensors");
  EXPECT_EQ(file.metadata().at("who"), "glyphscope");
  ASSERT_EQ(file.entries().size(), tensors.size());
  for (const auto& [name, tensor] : tensors) EXPECT_TRUE(torch::equal(file.tensor(name), tensor)) << name;
}

TEST(Safetensors, ReadsWhatTheReferenceWrote) {
  const SafetensorsFile file(testing::golden("random.safetensors"));
  EXPECT_EQ(file.tensor("seed42.first").sizes(), (std::vector<std::int64_t>{5}));
}

// A file that someone cuts while it lies in memory: what is lost reads as zeros, and is told.
TEST(Safetensors, AFileThatIsCutWhileItIsReadIsNamed) {
  testing::TemporaryFolder folder;
  write_safetensors(folder / "a.safetensors", {{"w", torch::ones({1'000'000})}});
  {
    const SafetensorsFile file(folder / "a.safetensors");
    EXPECT_EQ(failure_of([] { check_mapped_files(); }), "");
    std::filesystem::resize_file(folder / "a.safetensors", 100'000);
    EXPECT_LT(file.tensor("w").sum().item<float>(), 100'000);
    EXPECT_THAT(failure_of([] { check_mapped_files(); }), ::testing::AllOf(HasSubstr("a.safetensors"), HasSubstr("was cut")));
  }
  EXPECT_EQ(failure_of([] { check_mapped_files(); }), "") << "nobody uses it any more";
}

// No fault of the file: exit 4, not 2.
TEST(Safetensors, AFileThatMemoryCannotHoldIsNoBadFile) {
  testing::TemporaryFolder folder;
  const std::string header = entry("U8", "[1073741824]", "[0,1073741824]");
  const std::uint64_t length = header.size();
  write_text(folder / "a.safetensors", std::string(reinterpret_cast<const char*>(&length), 8) + header);
  std::filesystem::resize_file(folder / "a.safetensors", 8 + length + 1073741824);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_AS, &before), 0);
  rlimit less = before;
  less.rlim_cur = static_cast<rlim_t>(testing::process_bytes("VmSize") + (256 << 20));
  ASSERT_EQ(setrlimit(RLIMIT_AS, &less), 0);
  const auto opened = attempt([&] { return SafetensorsFile(folder / "a.safetensors"); });
  ASSERT_EQ(setrlimit(RLIMIT_AS, &before), 0);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::out_of_memory);
  EXPECT_THAT(opened.error().message(), ::testing::AllOf(HasSubstr("a.safetensors"), HasSubstr("ulimit -v")));
  EXPECT_EQ(SafetensorsFile(folder / "a.safetensors").entries().size(), 1u);
}

TEST(Safetensors, PipesAndDevicesAreRefusedAtOnce) {
  testing::TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  for (const std::filesystem::path& file : {folder / "pipe", std::filesystem::path("/dev/zero")}) {
    EXPECT_THAT(failure_of([&] { SafetensorsFile opened(file); }), HasSubstr("a file was expected")) << file;
    EXPECT_THAT(failure_of([&] { read_text(file); }), HasSubstr("a file was expected")) << file;
    EXPECT_THAT(failure_of([&] { sha256_file(file); }), HasSubstr("a file was expected")) << file;
  }
}

// A model's weights hold a copy for each tensor: with a map of all tensors in each, thousands of them would take gigabytes.
TEST(Safetensors, CopiesShareWhatTheHeaderSays) {
  testing::TemporaryFolder folder;
  write_safetensors(folder / "a.safetensors", {{"a", torch::ones(3)}});
  const SafetensorsFile file(folder / "a.safetensors");
  const SafetensorsFile copy = file;  // NOLINT(performance-unnecessary-copy-initialization)
  EXPECT_EQ(&copy.entries(), &file.entries());
}

TEST(Safetensors, ATensorOutlivesItsFile) {
  testing::TemporaryFolder folder;
  torch::Tensor tensor;
  write_safetensors(folder / "a.safetensors", {{"w", torch::ones({1000})}});
  { tensor = SafetensorsFile(folder / "a.safetensors").tensor("w"); }
  write_safetensors(folder / "a.safetensors", {{"w", torch::zeros({10})}});  // replaces the file, not its bytes
  EXPECT_EQ(tensor.sum().item<float>(), 1000);
  tensor.add_(1);  // copy on write: the file on disk stays
  EXPECT_EQ(SafetensorsFile(folder / "a.safetensors").tensor("w").sum().item<float>(), 0);
}

TEST(Safetensors, EveryRuleOfTheFormatIsEnforced) {
  Forged file;
  EXPECT_EQ(file.open(entry("F32", "[2]", "[0,8]"), 8), "");
  EXPECT_THAT(file.open(entry("F32", "[2]", "[0,8]"), 4), HasSubstr("lie outside"));  // cut off
  EXPECT_THAT(file.open(entry("F32", "[2]", "[0,8]"), 12), HasSubstr("4 bytes at the end belong to no tensor"));
  EXPECT_THAT(file.open(entry("F32", "[3]", "[0,8]"), 8), HasSubstr("shape and dtype need 12 bytes"));
  EXPECT_THAT(file.open(entry("F31", "[2]", "[0,8]"), 8), HasSubstr("no dtype 'F31'"));
  EXPECT_THAT(file.open(entry("F32", "[-2]", "[0,8]"), 8), HasSubstr("not a whole number"));
  EXPECT_THAT(file.open(entry("F32", "[2.0]", "[0,8]"), 8), HasSubstr("not a whole number"));
  EXPECT_THAT(file.open(entry("F32", "[2]", "[8,0]"), 8), HasSubstr("lie outside"));
  EXPECT_THAT(file.open(entry("F32", "[2]", "[0]"), 8), HasSubstr("two data_offsets"));
  EXPECT_THAT(file.open(entry("F32", "[4611686018427387904,4611686018427387904]", "[0,8]"), 8), HasSubstr("overflows"));
  EXPECT_THAT(file.open(entry("F32", "[9223372036854775807,0]", "[0,0]"), 0), HasSubstr("overflows"));
  EXPECT_THAT(file.open(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})", 6),
              HasSubstr("overlaps"));
  EXPECT_THAT(file.open(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 4),
              HasSubstr("overlaps"));
  EXPECT_THAT(file.open(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[6,10]}})", 10),
              HasSubstr("hole"));
  EXPECT_THAT(file.open(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1), HasSubstr("twice"));
  EXPECT_THAT(file.open(R"({"__metadata__":{"a":1}})", 0), HasSubstr("is not a string"));
  EXPECT_THAT(file.open("[1]", 0), HasSubstr("does not start with '{'"));
  EXPECT_THAT(file.open("{\"a\":", 0), HasSubstr("malformed JSON"));
  EXPECT_THAT(file.open("", 0), HasSubstr("does not start"));
}

// Strides are counted from the sides that are not 0, of a tensor without numbers too.
TEST(Safetensors, ShapesThatOverflowAreRefused) {
  Forged forged;
  EXPECT_THAT(forged.open(entry("F32", "[0,576460752303423488,576460752303423488]", "[0,0]"), 0), HasSubstr("the shape overflows"));
  EXPECT_THAT(forged.open(entry("F32", "[576460752303423489]", "[0,0]"), 0), HasSubstr("the shape overflows"));
  EXPECT_EQ(forged.open(entry("F32", "[0,1024,1024]", "[0,0]"), 0), "");
}

TEST(Safetensors, LengthsThatTheFileOnlyClaimsAreRefused) {
  Forged file;
  for (std::uint64_t claimed : {std::uint64_t{1} << 62, ~std::uint64_t{0}, std::uint64_t{99'000'000}, std::uint64_t{9}}) {
    EXPECT_THAT(file.open("{}", 0, claimed), HasSubstr("the header claims " + std::to_string(claimed) + " bytes"));
  }
}

TEST(Safetensors, CutAnywhereIsAnErrorNotACrash) {
  testing::TemporaryFolder folder;
  write_safetensors(folder / "a.safetensors", {{"x", torch::ones({5})}, {"y", torch::ones({3}, torch::kFloat16)}});
  const std::string bytes = read_text(folder / "a.safetensors");
  for (size_t length = 0; length < bytes.size(); ++length) {
    write_text(folder / "cut.safetensors", bytes.substr(0, length));
    EXPECT_NE(failure_of([&] { SafetensorsFile(folder / "cut.safetensors"); }), "") << length;
  }
}

TEST(Safetensors, FlippedHeaderBytesNeverCrash) {
  testing::TemporaryFolder folder;
  write_safetensors(folder / "a.safetensors", {{"x", torch::ones({5})}, {"y", torch::ones({3}, torch::kFloat16)}});
  const std::string bytes = read_text(folder / "a.safetensors");
  Choice choice(5);
  for (int i = 0; i < 500; ++i) {
    std::string damaged = bytes;
    for (int k = 0; k < 3; ++k) damaged[static_cast<size_t>(choice.below(static_cast<int>(bytes.size())))] = static_cast<char>(choice.below(256));
    write_text(folder / "b.safetensors", damaged);
    failure_of([&] {
      const SafetensorsFile file(folder / "b.safetensors");
      for (const auto& [name, one] : file.entries()) file.tensor(name).sum();
    });
  }
}

struct TwoLayers : torch::nn::Module {
  TwoLayers() {
    a = register_module("a", std::make_shared<Linear>(2, 3));
    b = register_module("b", std::make_shared<Linear>(3, 1));
  }
  std::shared_ptr<Linear> a, b;
};

TEST(Weights, EveryKeyThatDoesNotFitIsNamedAtOnce) {
  testing::TemporaryFolder folder;
  write_safetensors(
      folder / "model.safetensors",
      {{"a.weight", torch::ones({3, 2})}, {"a.bias", torch::ones({4})}, {"c.weight", torch::ones({1})}, {"b.bias", torch::ones({1}, torch::kInt64)}});
  TwoLayers module;
  const std::string message = failure_of([&] { load_weights(module, Weights::find(folder.path())); });
  EXPECT_THAT(message, HasSubstr("missing 1"));
  EXPECT_THAT(message, HasSubstr("b.weight"));
  EXPECT_THAT(message, HasSubstr("extra 1:\n  c.weight"));
  EXPECT_THAT(message, HasSubstr("a.bias is [4], the configuration says [3]"));
  EXPECT_THAT(message, HasSubstr("b.bias is of dtype Long"));
}

TEST(Weights, ShardsAreFoundThroughTheirIndex) {
  testing::TemporaryFolder folder;
  write_safetensors(folder / "model-00001-of-00002.safetensors", {{"a.weight", torch::ones({3, 2})}, {"a.bias", torch::zeros({3})}});
  write_safetensors(folder / "model-00002-of-00002.safetensors", {{"b.weight", torch::ones({1, 3})}, {"b.bias", torch::zeros({1})}});
  nlohmann::ordered_json map;
  for (const char* key : {"a.weight", "a.bias"}) map[key] = "model-00001-of-00002.safetensors";
  for (const char* key : {"b.weight", "b.bias"}) map[key] = "model-00002-of-00002.safetensors";
  write_json(folder / "model.safetensors.index.json", {{"weight_map", map}});
  TwoLayers module;
  load_weights(module, Weights::find(folder.path()));
  EXPECT_EQ(module.b->weight.sum().item<float>(), 3);
  map["b.other"] = "model-00002-of-00002.safetensors";
  write_json(folder / "model.safetensors.index.json", {{"weight_map", map}});
  EXPECT_THAT(failure_of([&] { Weights::find(folder.path()); }), HasSubstr("'b.other' should be in"));
  map["b.other"] = "../escape.safetensors";
  write_json(folder / "model.safetensors.index.json", {{"weight_map", map}});
  EXPECT_THAT(failure_of([&] { Weights::find(folder.path()); }), HasSubstr("is no file name"));
  std::filesystem::remove(folder / "model-00002-of-00002.safetensors");
  map.erase("b.other");
  write_json(folder / "model.safetensors.index.json", {{"weight_map", map}});
  EXPECT_THAT(failure_of([&] { Weights::find(folder.path()); }), HasSubstr("the shard model-00002-of-00002.safetensors is missing"));
}

TEST(Weights, PicklesAreRefusedWithTheWayOut) {
  testing::TemporaryFolder folder;
  write_text(folder / "pytorch_model.bin", "x");
  EXPECT_THAT(failure_of([&] { Weights::find(folder.path()); }), HasSubstr("save_pretrained"));
}

}  // namespace
}  // namespace glyphscope
