/* SPDX-License-Identifier: MIT
 *
 * Matching a regular expression in bounded time. PCRE2's own bounds are no times: it counts per place where a match may
 * begin, of which a subject has as many as bytes, and a step that it counts may look at all of the subject. So places
 * are tried some at a time, with as few steps as make a short time at worst; what needs more is tried by a second
 * program, which comes back between any two items of the expression, and is slower. */
#pragma once

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct script_state;

/* What all expressions of a state use. Whoever makes it frees it. */
struct regex_engine {
  pcre2_general_context *general;
  pcre2_compile_context *compiling;
  pcre2_match_context *matching, *watching; /* of the first program, and of the second */
  pcre2_jit_stack *stack;
  struct script_state *state; /* whose memory machine code counts as; NULL: nobody's */
};

struct regex {
  pcre2_code *code, *watched; /* the second is made when it is needed first */
  pcre2_match_data *data;
  uint32_t options;
  bool is_anchored;    /* can match at the first place alone */
  bool is_whole;       /* must not be tried some places at a time: what it takes depends on where the search began */
  bool has_references; /* to captures: one item that compares, in one go */
  struct script_state *state; /* the engine's */
  size_t code_size;           /* of the machine code of both programs */
  size_t size;
  char pattern[]; /* of that size */
};

/* Asked each few milliseconds at least, while a match lasts. */
struct regex_question {
  bool (*is_over)(void *context);
  void *context;
};

/* Whether one more expression may be compiled to machine code. That lies where no allocator of ours sees it: it counts
 * as the state's memory, and beyond an eighth of that, expressions are interpreted. */
bool regex_has_room_for_code(const struct script_state *state);

/* Sets the limits of an engine whose contexts are there; the stack may be NULL. */
void regex_engine_limit(struct regex_engine *engine);

/* Compiles the pattern that stands in it with its size; the rest is zero. 0; or PCRE2's error, and where it is. In any
 * case regex_deinit() frees what it has. */
int regex_init(struct regex *regex, const struct regex_engine *engine, uint32_t options, size_t *place);
void regex_deinit(struct regex *regex);

/* As pcre2_match(); the places are in regex->data. PCRE2_ERROR_MATCHLIMIT: it takes too long. PCRE2_ERROR_CALLOUT:
 * is_over() said so. */
int regex_match(struct regex *regex, const struct regex_engine *engine, const char *subject, size_t size, size_t offset,
                uint32_t options, const struct regex_question *question);
