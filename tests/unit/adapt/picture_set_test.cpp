#include "adapt/picture_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <opencv2/imgcodecs.hpp>

#include "core/random.h"
#include "io/files.h"
#include "io/image_file.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {
namespace fs = std::filesystem;
using ::testing::HasSubstr;

void draw(const fs::path& file, std::uint64_t seed, std::int64_t height = 12, std::int64_t width = 20) {
  fs::create_directories(file.parent_path());
  write_png(file, torch::randint(0, 256, {3, height, width}, make_generator(seed), torch::kUInt8));
}

TEST(PictureSet, ReadsBothConventionsAndListsFaults) {
  const testing::TemporaryFolder folder;
  draw(folder / "a.png", 1);
  draw(folder / "deep/b.png", 2, 30, 7);
  draw(folder / "c.png", 3);
  draw(folder / "d.png", 4);
  fs::copy_file(folder / "a.png", folder / "again.png");
  write_text(folder / "cut.png", read_text(folder / "a.png").substr(0, 60));
  write_text(folder / "cut.txt", "a cut picture");
  write_text(folder / "c.txt", "  a sign that says \"C\"\n");
  write_text(folder / "metadata.jsonl",
             "{\"file_name\": \"a.png\", \"text\": \"a sign\"}\n\nnonsense\n{\"file_name\": \"deep/b.png\", \"caption\": \"b\"}\n"
             "{\"file_name\": \"lost.png\", \"text\": \"x\"}\n{\"file_name\": \"d.png\"}\n{\"file_name\": \"again.png\", \"text\": \"a sign\"}\n");
  const PictureSet set = read_picture_set(folder.path(), 0);
  std::map<std::string, const CaptionedPicture*> got;
  for (const auto& one : set.train) got[one.file.filename().string()] = &one;
  ASSERT_EQ(got.size(), 3u);
  EXPECT_EQ(got.at("a.png")->caption, "a sign");
  EXPECT_EQ(got.at("b.png")->caption, "b");
  EXPECT_EQ(got.at("c.png")->caption, "a sign that says \"C\"");
  EXPECT_EQ(got.at("b.png")->width, 7);
  EXPECT_EQ(got.at("b.png")->height, 30);
  EXPECT_THAT(set.held_out, ::testing::IsEmpty());
  EXPECT_THAT(set.faults, ::testing::UnorderedElementsAre(HasSubstr("line 3: no JSON object"), HasSubstr("lost.png"), HasSubstr("line 6: no caption"),
                                                          AllOf(HasSubstr("d.png"), HasSubstr("no caption, neither")), HasSubstr("cut.png"),
                                                          AllOf(HasSubstr("again.png"), HasSubstr("there already"))));
  EXPECT_THAT(testing::failure_of([&] { read_picture_set(folder / "nowhere", 0); }), HasSubstr("no such folder"));
  EXPECT_THAT(testing::failure_of([&] { read_picture_set(fs::path(folder.path()) / "deep", 0); }), HasSubstr("no picture with a caption"));
}

// Windows' editors put a byte-order mark before a text, or write UTF-16: both are read.
TEST(PictureSet, CaptionsOfWindowsAreRead) {
  const testing::TemporaryFolder folder;
  for (int i = 0; i < 3; ++i) draw(folder / (std::to_string(i) + ".png"), static_cast<std::uint64_t>(i));
  write_text(folder / "0.txt",
             "\xEF\xBB\xBF"
             "a sign\r\n");
  write_text(folder / "1.txt", std::string("\xFF\xFE"
                                           "a\0 \0s\0",
                                           8));
  write_text(folder / "metadata.jsonl", "\xEF\xBB\xBF{\"file_name\": \"2.png\", \"text\": \"a wall\"}\n");
  const PictureSet set = read_picture_set(folder.path(), 0);
  ASSERT_EQ(set.train.size(), 3u);
  EXPECT_EQ(set.train[0].caption, "a sign");
  EXPECT_EQ(set.train[1].caption, "a s");
  EXPECT_EQ(set.train[2].caption, "a wall");
  EXPECT_THAT(set.faults, ::testing::IsEmpty());
}

// What is wrong with one file costs no other: a caption that is a folder, a list that cannot be read, a kind of picture that is not read. Folders that
// links lead to are read, once.
TEST(PictureSet, OneBadFileCostsNoOther) {
  const testing::TemporaryFolder folder, elsewhere;
  draw(folder / "a.png", 1);
  write_text(folder / "a.txt", "a");
  draw(folder / "b.png", 2);
  fs::create_directories(folder / "b.txt");
  draw(elsewhere / "c.png", 3);
  write_text(elsewhere / "c.txt", "c");
  fs::create_directory_symlink(elsewhere.path(), folder / "linked");
  fs::create_directory_symlink(folder.path(), fs::path(elsewhere.path()) / "back");
  fs::create_directories(folder / "sub");
  fs::create_symlink("metadata.jsonl", fs::path(folder.path()) / "sub/metadata.jsonl");  // of itself
  write_text(folder / "d.gif", "GIF89a");
  write_text(folder / "d.txt", "d");
  draw(folder / "e.dat", 5);
  draw(elsewhere / "f.png", 6);
  write_text(folder / "metadata.jsonl",
             "{\"file_name\": \"e.dat\", \"text\": \"e\"}\n{\"file_name\": \"" + (elsewhere / "f.png").string() + "\", \"text\": \"f\"}\n");
  const PictureSet set = read_picture_set(folder.path(), 0);
  std::set<std::string> captions;
  for (const auto& one : set.train) captions.insert(one.caption);
  EXPECT_THAT(captions, ::testing::ElementsAre("a", "c"));
  EXPECT_THAT(set.faults, ::testing::UnorderedElementsAre(
                              HasSubstr("b.txt"), AllOf(HasSubstr("metadata.jsonl"), HasSubstr("leads nowhere")),
                              AllOf(HasSubstr("d.gif"), HasSubstr("kind of picture")), AllOf(HasSubstr("e.dat"), HasSubstr("is no PNG, JPEG, WebP")),
                              AllOf(HasSubstr("f.png"), HasSubstr("outside the folder")), AllOf(HasSubstr("f.png"), HasSubstr("no caption"))));
}

// Python writes NaN where a number is none; a caption that is a list is told as one.
TEST(PictureSet, LinesThatPythonWritesAreRead) {
  const testing::TemporaryFolder folder;
  draw(folder / "a.png", 1);
  draw(folder / "b.png", 2);
  draw(folder / "c.png", 3);
  write_text(folder / "metadata.jsonl",
             "{\"file_name\": \"a.png\", \"text\": \"a\", \"score\": NaN}\n{\"file_name\": \"b.png\", \"text\": [\"one\", \"two\"]}\n"
             "{\"file_name\": \"c.png\", \"text\": [\"one\"], \"prompt\": \"c\"}\n");
  const PictureSet set = read_picture_set(folder.path(), 0);
  ASSERT_EQ(set.train.size(), 2U);
  EXPECT_EQ(set.train[0].caption + set.train[1].caption, "ac") << "of another column that says something";
  EXPECT_THAT(set.faults, ::testing::Contains(AllOf(HasSubstr("metadata.jsonl, line 2"), HasSubstr("'text' is a list"))));
}

// metadata.csv as spreadsheets and pandas write it (RFC 4180): quotes, doubled quotes, commas and line ends within; what is wrong with a row costs no
// other.
TEST(PictureSet, ATableOfCaptionsIsRead) {
  const testing::TemporaryFolder folder;
  for (const char* name : {"a", "b", "c", "d", "e"}) draw(folder / (std::string(name) + ".png"), static_cast<std::uint64_t>(name[0]));
  write_text(folder / "metadata.csv",
             "\xEF\xBB\xBF"
             "file_name,split,text\r\na.png,train,\"a sign that says \"\"EXIT\"\", in red\"\r\n\r\nb.png,train,a sign that says \"OPEN\"\r\n"
             "c.png,train,\"two\nlines\"\r\nd.png,train,a sign, in red\r\nlost.png,train,x\r\ne.png,train,\r\n");
  const PictureSet set = read_picture_set(folder.path(), 0);
  std::map<std::string, std::string> got;
  for (const auto& one : set.train) got[one.file.filename().string()] = one.caption;
  EXPECT_THAT(got, ::testing::ElementsAre(::testing::Pair("a.png", "a sign that says \"EXIT\", in red"), ::testing::Pair("b.png", "a sign that says \"OPEN\""),
                                          ::testing::Pair("c.png", "two\nlines")));
  EXPECT_THAT(set.faults, ::testing::UnorderedElementsAre(
                              AllOf(HasSubstr("metadata.csv, line 7: 4 values"), HasSubstr("in quotes")), AllOf(HasSubstr("line 8"), HasSubstr("there is no")),
                              AllOf(HasSubstr("line 9"), HasSubstr("no caption")), AllOf(HasSubstr("d.png"), HasSubstr("no caption, neither")),
                              AllOf(HasSubstr("e.png"), HasSubstr("no caption, neither"))));
  write_text(folder / "metadata.csv", "file_name,text\na.png,\"a sign\n");
  EXPECT_THAT(testing::failure_of([&] { read_picture_set(folder.path(), 0); }), HasSubstr("ends within a value in quotes"));
  write_text(folder / "metadata.csv", "name,text\na.png,a\n");
  EXPECT_THAT(testing::failure_of([&] { read_picture_set(folder.path(), 0); }), HasSubstr("no column file_name"));
}

// Captions as kohya's scripts have them: in .caption files too, the first line counts, and a folder's name says how often its pictures count and what they
// show. What is taken in such a way is said.
TEST(PictureSet, KohyasCaptionsAreRead) {
  const testing::TemporaryFolder folder;
  for (const char* name : {"10_a red sign/a", "10_a red sign/b", "10_a red sign/c", "3_b/d", "0_off/e", "2_/f", "g"})
    draw(folder / (std::string(name) + ".png"), std::hash<std::string>()(name));
  write_text(folder / "10_a red sign/a.caption", "a sign\n");
  write_text(folder / "10_a red sign/b.txt", "\na wall, long\r\nand more\n");
  write_text(folder / "10_a red sign/b.caption", "another");
  write_text(folder / "3_b/d.txt", "d");
  write_text(folder / "g.txt", " \n");
  const PictureSet set = read_picture_set(folder.path(), 0);
  std::map<std::string, std::pair<std::string, int>> got;
  for (const auto& one : set.train) got[one.file.filename().string()] = {one.caption, one.repeats};
  using Expected = std::map<std::string, std::pair<std::string, int>>;
  EXPECT_EQ(got, (Expected{{"a.png", {"a sign", 10}}, {"b.png", {"a wall, long", 10}}, {"c.png", {"a red sign", 10}}, {"d.png", {"d", 3}}}));
  EXPECT_THAT(set.faults,
              ::testing::UnorderedElementsAre(AllOf(HasSubstr("e.png"), HasSubstr("0 times")), AllOf(HasSubstr("f.png"), HasSubstr("no caption, neither")),
                                              AllOf(HasSubstr("g.txt"), HasSubstr("the caption is empty"))));
  EXPECT_THAT(set.notes,
              ::testing::UnorderedElementsAre(AllOf(HasSubstr("more than one line: 1;"), HasSubstr("b.txt")), HasSubstr("a .txt and a .caption: 1;"),
                                              AllOf(HasSubstr("10_a red sign: pictures without a caption of their own: 1;"), HasSubstr("\"a red sign\"")),
                                              HasSubstr("10_a red sign: each picture counts 10 times"), HasSubstr("3_b: each picture counts 3 times")));
}

// A folder without pictures is told by what it holds.
TEST(PictureSet, AFolderOfOtherThingsIsNamedByThem) {
  const testing::TemporaryFolder folder;
  write_text(folder / "train-00000.parquet", "PAR1");
  write_text(folder / "train-00001.parquet", "PAR1");
  write_text(folder / "README.md", "a set");
  EXPECT_THAT(testing::failure_of([&] { read_picture_set(folder.path(), 0); }), HasSubstr("it holds 2 .parquet, 1 .md"));
}

// Two captions of one picture, in one file or in two: the first is kept, and the other told of.
// What stands in the place of a picture is named as what it is.
TEST(PictureSet, StandInsAreNamed) {
  const testing::TemporaryFolder folder;
  write_text(folder / "a.png", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n");
  write_text(folder / "b.jpg", "<!DOCTYPE html><html><body>Not found</body></html>");
  fs::create_symlink("../gone.png", folder / "c.png");
  write_text(folder / "meta_cap.json", "{}");
  for (const char* name : {"a.txt", "b.txt", "c.txt"}) write_text(folder / name, "a sign");
  const std::string error = testing::failure_of([&] { read_picture_set(folder.path(), 0); });
  EXPECT_THAT(error, AllOf(HasSubstr("a.png"), HasSubstr("Git LFS pointer"), HasSubstr("git lfs pull")));
  EXPECT_THAT(error, AllOf(HasSubstr("b.jpg"), HasSubstr("web page")));
  EXPECT_THAT(error, HasSubstr("c.png: the link leads nowhere"));
  EXPECT_THAT(error, HasSubstr("meta_cap.json: captions are not read from such a file"));
}

TEST(PictureSet, ASecondCaptionOfAPictureIsToldOf) {
  const testing::TemporaryFolder folder;
  fs::create_directories(folder / "sub");
  draw(folder / "sub/a.png", 1);
  write_text(folder / "metadata.jsonl", "{\"file_name\": \"sub/a.png\", \"text\": \"first\"}\n{\"file_name\": \"sub/../sub/a.png\", \"text\": \"second\"}\n");
  write_text(folder / "sub/metadata.jsonl", "{\"file_name\": \"a.png\", \"text\": \"third\"}\n");
  const PictureSet set = read_picture_set(folder.path(), 0);
  ASSERT_EQ(set.train.size(), 1u);
  EXPECT_EQ(set.train[0].caption, "first");
  EXPECT_THAT(set.faults, ::testing::UnorderedElementsAre(AllOf(HasSubstr("line 2"), HasSubstr("has a caption already")),
                                                          AllOf(HasSubstr("sub/metadata.jsonl"), HasSubstr("has a caption already"))));
}

// A JPEG of a camera that was held upright (EXIF orientation 6: to be turned by 90 degrees) is learned upright; WebP is read, and what shows through
// is white.
TEST(PictureSet, ReadsWhatCamerasAndTheWebWrite) {
  const testing::TemporaryFolder folder;
  cv::Mat lying(16, 32, CV_8UC3, cv::Scalar(0, 0, 255));  // the left half is red, the right one blue
  lying.colRange(16, 32).setTo(cv::Scalar(255, 0, 0));
  std::vector<unsigned char> jpeg, webp;
  cv::imencode(".jpg", lying, jpeg, {cv::IMWRITE_JPEG_QUALITY, 100});
  const std::string exif(
      "\xFF\xE1\x00\x22"
      "Exif\0\0"
      "II*\0\x08\0\0\0"
      "\x01\0"
      "\x12\x01\x03\0\x01\0\0\0\x06\0\0\0"
      "\0\0\0\0",
      36);
  std::string bytes(jpeg.begin(), jpeg.end());
  bytes.insert(2, exif);
  write_text(folder / "camera.jpg", bytes);
  const torch::Tensor upright = read_image(folder / "camera.jpg");
  ASSERT_EQ(upright.sizes(), (std::vector<std::int64_t>{3, 32, 16}));
  EXPECT_GT(upright[0][4][8].item<int>(), 200);   // red is on top
  EXPECT_GT(upright[2][28][8].item<int>(), 200);  // blue below

  cv::Mat web(8, 8, CV_8UC4, cv::Scalar(0, 128, 0, 255));
  web.at<cv::Vec4b>(3, 3)[3] = 0;
  cv::imencode(".webp", web, webp, {cv::IMWRITE_WEBP_QUALITY, 101});  // lossless
  write_text(folder / "web.webp", std::string(webp.begin(), webp.end()));
  const torch::Tensor read = read_image(folder / "web.webp");
  EXPECT_EQ(read[1][0][0].item<int>(), 128);
  EXPECT_EQ(read[0][3][3].item<int>(), 255);
}

// A picture is held out or not whatever else is in the folder.
TEST(PictureSet, HoldsOutByContent) {
  const testing::TemporaryFolder folder;
  auto names = [](const std::vector<CaptionedPicture>& list) {
    std::set<std::string> out;
    for (const auto& one : list) out.insert(one.file.filename().string());
    return out;
  };
  auto add = [&](int i) {
    draw(folder / (std::to_string(i) + ".png"), static_cast<std::uint64_t>(i));
    write_text(folder / (std::to_string(i) + ".txt"), "sign " + std::to_string(i));
  };
  for (int i = 0; i < 60; ++i) add(i);
  const auto before = names(read_picture_set(folder.path(), 0.25).held_out);
  EXPECT_GT(before.size(), 5u);
  EXPECT_LT(before.size(), 30u);
  for (int i = 60; i < 80; ++i) add(i);
  const PictureSet after = read_picture_set(folder.path(), 0.25);
  const auto held = names(after.held_out);
  for (const auto& one : before) EXPECT_TRUE(held.contains(one)) << one;
  EXPECT_EQ(held.size() + after.train.size(), 80u);
}

TEST(Buckets, KeepAreaAndAspect) {
  for (std::int64_t resolution : {64, 512, 1024}) {
    const std::int64_t multiple = resolution / 16;
    const auto buckets = aspect_buckets(resolution, multiple);
    EXPECT_THAT(buckets, ::testing::Contains(Bucket{resolution, resolution}));
    for (const auto& one : buckets) {
      EXPECT_EQ(one.width % multiple, 0);
      EXPECT_EQ(one.height % multiple, 0);
      EXPECT_LE(one.width * one.height, resolution * resolution);
      EXPECT_GE(one.width * one.height, resolution * resolution * 3 / 4);
      EXPECT_EQ(nearest_bucket(buckets, 3 * one.width, 3 * one.height), one);
    }
    EXPECT_EQ(nearest_bucket(buckets, 5000, 5000), (Bucket{resolution, resolution}));
    EXPECT_GT(nearest_bucket(buckets, 9000, 100).width, resolution);
  }
}

// The middle is kept, nothing is stretched.
TEST(Buckets, CropsTheMiddle) {
  torch::Tensor image = torch::zeros({3, 40, 100}, torch::kUInt8);
  image.slice(2, 45, 55).fill_(255);  // a stripe in the middle
  EXPECT_TRUE(torch::equal(crop_to(image, {100, 40}), image));
  EXPECT_EQ(crop_of(100, 40, {100, 40}).left, 0);
  const torch::Tensor square = crop_to(image, {20, 20});  // scaled by a half, 50 x 20
  EXPECT_EQ(square.sizes(), (std::vector<std::int64_t>{3, 20, 20}));
  const Crop crop = crop_of(100, 40, {20, 20});
  EXPECT_EQ(crop.width, 50);
  EXPECT_EQ(crop.left, 15);
  EXPECT_EQ(crop.top, 0);
  const torch::Tensor stripe = square[0][10].to(torch::kFloat32) / 255;
  EXPECT_NEAR(stripe.sum().item<double>(), 5, 0.1);
  EXPECT_NEAR((stripe * torch::arange(20)).sum().item<double>() / 5, 9.5, 0.6);
}

}  // namespace
}  // namespace glyphscope
