#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace glyphscope {

/// What came of a merged run.
struct MergedRun {
  std::vector<std::string> missing;  ///< Cells that no shard has drawn: "pair 3, noise 0: site-step".
  std::vector<std::string> written;  ///< Files of results, relative to the run: of questions that are answered.
  std::string next;                  ///< What a localization asks next, which shards have not been asked yet; empty: nothing.
};

/// Joins runs that were drawn in several folders, and draws the conclusions of what is answered, without the model. What the drawing took is not known then:
/// results have null for it. Throws a Failure, and writes nothing, for runs that do not belong together.
MergedRun merge(const std::vector<std::filesystem::path>& runs, const std::filesystem::path& out);

}  // namespace glyphscope
