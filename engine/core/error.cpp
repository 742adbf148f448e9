#include "core/error.h"

#include <c10/util/Exception.h>

#include <filesystem>
#include <new>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>

#include "core/option.h"

namespace glyphscope {

namespace {

// What a terminal or a label can show: a user's bytes may hold anything, and be any number. Control characters are written as they are escaped in C.
std::string printable(const std::string& text) {
  constexpr size_t kMost = 20'000;
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    constexpr const char* kDigits = "0123456789abcdef";
    if ((byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7F)
      out += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
    else
      out += c;
    if (out.size() > kMost) return out + " ..";
  }
  return out;
}

// Of something that a user gave, enough to know it again.
std::string shortened(const std::string& text) {
  constexpr size_t kMost = 1000;
  return text.size() <= kMost ? text : text.substr(0, kMost) + ".. (" + std::to_string(text.size()) + " bytes)";
}

}  // namespace

std::string Error::message() const {
  std::string text = what;
  if (!where.empty()) text += " (" + shortened(where) + ")";
  text += ".";
  if (!hint.empty()) text += " " + hint + (hint.ends_with('.') ? "" : ".");
  return printable(text);
}

Failure::Failure(Error error) : error_(std::move(error)), message_(error_.message()) {}

void reject(std::string what, std::string where, std::string hint) {
  throw Failure({ErrorCode::bad_input, std::move(what), std::move(where), std::move(hint)});
}

std::string json_message(const std::exception& error) {
  const std::string_view what = error.what();
  const size_t number = what.find("] ");
  return std::string(what.starts_with('[') && number != std::string_view::npos ? what.substr(number + 2) : what);
}

bool is_out_of_memory(const std::exception& error) {
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error)) return true;
  constexpr int kCudaOutOfMemory = 2;  // cudaErrorMemoryAllocation
  if (const auto* device = dynamic_cast<const c10::AcceleratorError*>(&error); device && device->get_error_code() == kCudaOutOfMemory) return true;
  const auto* other = dynamic_cast<const c10::Error*>(&error);
  if (!other) return false;
  const std::string_view what = other->what_without_backtrace();
  for (const char* sign : {"not enough memory", "can't allocate memory", "ALLOC_FAILED", "out of memory"})
    if (what.find(sign) != std::string_view::npos) return true;
  return false;
}

Error current_error() {
  try {
    throw;
  } catch (const Failure& failure) {
    return failure.error();
  } catch (const std::bad_alloc&) {
    return {ErrorCode::out_of_memory, "not enough memory", "", "Use fewer rows at once, a smaller image or " + option(Option::dtype, "bf16")};
  } catch (const c10::Error& error) {
    if (is_out_of_memory(error))
      return {ErrorCode::out_of_memory, error.what_without_backtrace(), "", "Use fewer rows at once, a smaller image or " + option(Option::dtype, "bf16")};
    if (!dynamic_cast<const c10::AcceleratorError*>(&error))
      return {ErrorCode::internal, error.what_without_backtrace(), "LibTorch",
              "This is a defect of Glyphscope; please report it with the command that caused it"};
    return {ErrorCode::internal, std::string("the device failed: ") + error.what_without_backtrace(), "",
            "What was finished is kept. Go on with it once the device works again, or by " + option(Option::device, "cpu")};
  } catch (const nlohmann::json::exception& error) {
    return {ErrorCode::bad_input, "malformed JSON: " + json_message(error), "", ""};
  } catch (const std::filesystem::filesystem_error& error) {
    return {ErrorCode::bad_input, error.code().message(), error.path1().string(), ""};
  } catch (const std::system_error& error) {
    if (error.code() == std::errc::resource_unavailable_try_again)
      return {ErrorCode::out_of_memory, "no thread can be started: not enough memory, or too many threads", "", ""};
    return {ErrorCode::internal, error.what(), "", "This is a defect of Glyphscope; please report it with the command that caused it"};
  } catch (const std::exception& error) {
    // OpenCV's, which this room does not know.
    if (std::string_view(error.what()).find("Insufficient memory") != std::string_view::npos)
      return {ErrorCode::out_of_memory, "not enough memory for a picture", "", "Use smaller pictures"};
    return {ErrorCode::internal, error.what(), "", "This is a defect of Glyphscope; please report it with the command that caused it"};
  } catch (...) {
    return {ErrorCode::internal, "an unknown exception", "", ""};
  }
}

}  // namespace glyphscope
