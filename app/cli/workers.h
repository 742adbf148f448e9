#pragma once

#include <string>
#include <vector>

#include "core/progress.h"

namespace glyphscope::cli {

/// Runs this program again, once for each device, as shards of one run that wait for each other. The first one's output is this one's; the others write to
/// FOLDER/worker-N.log. Returns when all are done. Where one fails, the others finish their cells and end. Throws a Failure that says which failed, and why;
/// and where it is cancelled, after they have ended. arguments: of this program, without what differs between them.
void run_workers(const std::vector<std::string>& devices, const std::vector<std::string>& arguments, const std::string& folder, const CancelToken& cancel);

/// A command line without options that take a value ("--devices"), as they are written in one word or in two.
std::vector<std::string> without_options(const std::vector<std::string>& arguments, const std::vector<std::string>& options);

}  // namespace glyphscope::cli
