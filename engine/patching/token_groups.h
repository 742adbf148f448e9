#pragma once

#include <cstdint>
#include <string>
#include <vector>

/// Names of a prompt's tokens, without a torch type: a window can include this.
namespace glyphscope {

struct WordTokens;

/// Kinds of text encoders whose tokens sites read. A chat's is a language model, which reads a prompt as a user's turn.
enum class TokenEncoder { clip, t5, bert, chat };

/// What a prompt's tokens are to a text that is to be written: the text itself, which stands in double quotes; the other words; what an encoder puts where a
/// prompt begins and ends; what fills up the rest. Each token is in one of them. Encoders that read from left to right (CLIP) let all that follows know of the
/// text.
enum class TokenGroup { text, words, marks, padding };

const std::vector<TokenGroup>& all_token_groups();
std::string to_string(TokenGroup group);
/// Throws a Failure that lists the names.
TokenGroup parse_token_group(const std::string& name);

std::string to_string(TokenEncoder encoder);
TokenEncoder parse_token_encoder(const std::string& name);

/// The group of each token of a prompt's embedding, where a prompt sees another: a place is of the text where either has its text there, and so on, in the
/// order above; of padding where both have. own, seen: what each encoder reads of the two, in the same order; tokens: of the whole embedding. What no encoder
/// reads is padding.
std::vector<TokenGroup> token_groups(const std::vector<WordTokens>& own, const std::vector<WordTokens>& seen, std::int64_t tokens);

/// Which places of the embedding are replaced: of these groups and these encoders; none named: of all.
std::vector<bool> replaced_tokens(const std::vector<WordTokens>& own, const std::vector<WordTokens>& seen, std::int64_t tokens,
                                  const std::vector<TokenGroup>& groups, const std::vector<TokenEncoder>& encoders);

}  // namespace glyphscope
