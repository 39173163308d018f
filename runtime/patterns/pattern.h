/* SPDX-License-Identifier: MIT
 *
 * Lua's patterns, as LuaJIT takes them: the matcher alone, which knows no Lua. A pattern may take time that grows with
 * any power of the subject's length; so the matcher counts its steps, and asks its caller each few thousand whether to
 * go on. It calls itself once for each part of a pattern that can be repeated or is a capture, PATTERN_DEPTH deep at
 * most. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  PATTERN_CAPTURES = 32,
  PATTERN_DEPTH = 200,
  PATTERN_STEPS = 4096, /* between two questions: some 10 µs */
};

/* What stands in place of a capture's length. */
enum { PATTERN_OPEN = -1, PATTERN_POSITION = -2 };

struct pattern_capture {
  const char *start;
  ptrdiff_t length; /* or one of the above */
};

struct pattern_match {
  const char *subject,
      *end; /* all of it: what anchors and frontiers look at. A NUL follows, as Lua's strings have it */
  bool (*is_over)(void *context);
  void *context;
  int64_t steps;     /* left until the next question */
  bool stopped;      /* is_over() said so; then `fault` is set too */
  const char *fault; /* what is wrong with the pattern, in Lua's words; NULL */
  unsigned depth, captures;
  struct pattern_capture capture[PATTERN_CAPTURES];
};

/* `is_over` may be NULL: it goes on to the end. */
void pattern_begin(struct pattern_match *match, const char *subject, size_t size, bool (*is_over)(void *context),
                   void *context);

/* Matches at `at`, which is within the subject or at its end. `pattern` ends with its first NUL and begins behind the
 * "^" of an anchored one. The end of what was matched, with the captures; or NULL: no match, or a fault. */
const char *pattern_match_at(struct pattern_match *match, const char *at, const char *pattern);

/* Where it matches first, at `at` or behind, with the match's end in `end`; NULL: nowhere, or a fault. */
const char *pattern_search(struct pattern_match *match, const char *at, const char *pattern, const char **end);

/* For work beside the matching that is to count as well. False, and a fault, once it is over. */
bool pattern_spend(struct pattern_match *match, size_t steps);

/* Whether a text has any of the characters that mean something in a pattern. Else it is found as it stands. */
bool pattern_is_special(const char *text, size_t size);

/* Where the text begins in the subject, NULL when it does not. In linear time. */
const char *pattern_find_plain(const char *subject, size_t size, const char *text, size_t length);
